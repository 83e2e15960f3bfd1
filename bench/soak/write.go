package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/picture"
)

// write writes the samples and draws them.
func (f *finding) write() error {
	if err := os.WriteFile(f.out+".csv", f.csv(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(f.out+".svg", f.picture(), 0o644)
}

func (f *finding) csv() []byte {
	var b strings.Builder
	b.WriteString("seconds,resident_mb,proportional_mb,heap_mb,goroutines,descriptors,file_mb,live_mb,subscribers,delivered_per_s,cores\n")
	for _, s := range f.samples {
		fmt.Fprintf(&b, "%.0f,%.1f,%.1f,%.1f,%.0f,%.0f,%.2f,%.2f,%.0f,%.0f,%.2f\n",
			s.at.Seconds(), s.resident/mega, s.proportional/mega, s.heap/mega, s.goroutines, s.files, s.file/mega, s.live/mega, s.subscribers, s.delivered, s.cores)
	}
	return []byte(b.String())
}

func (f *finding) picture() []byte {
	line := func(name string, kind picture.Kind, unit float64, of func(sample) float64) picture.Curve {
		c := picture.Curve{Name: name, Kind: kind}
		for _, s := range f.samples {
			c.X, c.Y = append(c.X, s.at.Minutes()), append(c.Y, of(s)/unit)
		}
		return c
	}
	chart := func(title string, curves ...picture.Curve) picture.Chart {
		return picture.Chart{Title: title, Note: "by minutes", Linear: true, Curves: curves}
	}
	return picture.Curves([]picture.Chart{
		chart("Memory, MB",
			line("resident", picture.Ours, mega, func(s sample) float64 { return s.resident }),
			line("heap in use", picture.Rival, mega, func(s sample) float64 { return s.heap })),
		chart("The store on disk, MB",
			line("its file", picture.Ours, mega, func(s sample) float64 { return s.file }),
			line("live", picture.Rival, mega, func(s sample) float64 { return s.live })),
		chart("Descriptors and streams",
			line("descriptors", picture.Ours, 1, func(s sample) float64 { return s.files }),
			line("streams", picture.Rival, 1, func(s sample) float64 { return s.subscribers })),
		chart("Goroutines",
			line("goroutines", picture.Ours, 1, func(s sample) float64 { return s.goroutines })),
		chart("Deliveries a second",
			line("deliveries", picture.Ours, 1, func(s sample) float64 { return s.delivered })),
		chart("Cores in use",
			line("cores", picture.Ours, 1, func(s sample) float64 { return s.cores })),
	})
}
