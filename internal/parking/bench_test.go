package parking

import (
	"fmt"
	"net"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/internal/hub/hubtest"
	"github.com/sse-chat/caddy-sse-chat/internal/socket"
)

// What a delivery to a parked stream costs, the kernel's part and that of the
// readers included.
func BenchmarkParkedFanOut(b *testing.B) {
	for _, readers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(readers, " readers"), func(b *testing.B) {
			broker := hubtest.New(b, hubtest.Plenty)
			lot := NewLot(broker)
			defer lot.Close()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer listener.Close()
			got := make(chan int, readers)
			for range readers {
				park(b, lot, listener, got)
			}
			b.ReportAllocs()
			for b.Loop() {
				hubtest.Publish(b, broker, "a", "0123456789")
				for range readers {
					<-got
				}
			}
		})
	}
}

// park parks a reader of the room a, and tells of each read at its other end.
func park(b *testing.B, lot *Lot, listener net.Listener, got chan<- int) {
	b.Helper()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	server, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	own, err := socket.New(server)
	if err != nil {
		b.Fatal(err)
	}
	own.Own(server)
	lot.Enter().ParkHTTP1(hubtest.Subscribe(b, lot.hub, hubtest.Subscription("a")), own, false, nil)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			got <- n
		}
	}()
}
