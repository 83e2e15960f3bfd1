package store

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkNewMessage(b *testing.B) {
	for _, test := range []struct{ name, text string }{
		{"10 bytes", "0123456789"},
		{"100 bytes", strings.Repeat("0123456789", 10)},
		{"100 bytes of Hangul", strings.Repeat("안녕하세요 ", 6)},
		{"8 KiB", strings.Repeat("0123456789abcdef", 512)},
		{"8 KiB to be escaped", strings.Repeat("\"\\\n\t", 2048)},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(test.text)))
			for b.Loop() {
				NewMessage(ID{Ms: 1795353900585}, "tea", Draft{Text: test.text, Name: "kim"})
			}
		})
	}
}

// A reader finds its position in a log, which is nearly always at the end.
func BenchmarkLogAfter(b *testing.B) {
	var log Log
	const n = 1000
	for i := range n {
		log.Push(NewMessage(ID{Ms: int64(i)}, Lobby, Draft{Text: "0123456789"}))
	}
	for _, behind := range []int{0, 1, 100, n} {
		b.Run(fmt.Sprint(behind, " behind"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := log.After(ID{Ms: int64(n - 1 - behind)}); got != n-behind {
					b.Fatal(got)
				}
			}
		})
	}
}
