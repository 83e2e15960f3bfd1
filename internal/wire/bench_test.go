package wire

import (
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func BenchmarkDecodeMessage(b *testing.B) {
	hundredBytes := strings.Repeat("0123456789", 10)
	for _, test := range []struct{ name, body string }{
		{"100 bytes", `{"text":"` + hundredBytes + `"}`},
		{"100 bytes of Hangul", `{"text":"` + strings.Repeat("안녕하세요 ", 6) + `"}`},
		{"100 bytes, escaped", `{"text":"` + strings.Repeat(`\n\"`, 50) + `"}`},
		{"all fields", `{"text":"` + hundredBytes + `","name":"kim","nonce":"4f1c-1"}`},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeMessage([]byte(test.body), store.Lobby, 1000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
