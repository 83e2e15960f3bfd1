package push

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest/pushtest"
	"github.com/sse-chat/caddy-sse-chat/internal/presence"
	"github.com/sse-chat/caddy-sse-chat/store"
)

func BenchmarkEncrypt(b *testing.B) {
	sub := newSub(b, "https://push.example/a")
	plain := []byte(`{"room":"tea","name":"lee","author":"_UvsIXu6uQ5","id":"1795353900585","text":"tea is ready"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encrypt(plain, sub); err != nil {
			b.Fatal(err)
		}
	}
}

func nobodyIsHere(context.Context, []string) map[string]presence.Standing { return nil }

// A room with many subscribers who are all away. The push service is in the same process, and
// checks and decrypts all.
func BenchmarkARoomOfSubscribers(b *testing.B) {
	const people = 5000
	service := pushtest.Start(b)
	defer Allow(service.Roots, nil, netip.MustParseAddr("127.0.0.1"))()
	s := NewSender("default", nobodyIsHere)
	defer s.Close()
	defer s.Use(newStorage(b), "mailto:a@example.com", zap.NewNop())()
	book := s.desk.Load().shelf.book
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range people {
		sub, err := Decode([]byte(service.Subscribe().JSON()))
		if err != nil {
			b.Fatal(err)
		}
		sub.Owner, sub.Rooms = store.OwnerByName(fmt.Sprint(i)), []string{"tea"}
		book.add(sub.key(), sub)
	}
	book.complete, book.checked = true, time.Now().Add(time.Hour)
	runtime.GC()
	runtime.ReadMemStats(&after)
	var sent uint64
	id := int64(0)
	for b.Loop() {
		id++
		begin := time.Now()
		s.Notify(store.NewMessage(store.ID{Ms: id}, "tea", store.Draft{Text: "tea is ready", Name: "lee"}))
		for sent += people; s.Counts.Sent.Load() < sent; {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(people/time.Since(begin).Seconds(), "pushes/s")
		time.Sleep(testInterval)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/people, "B/subscription") // with the test's own
}
