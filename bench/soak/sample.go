package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// sample is the server's usage at one moment.
type sample struct {
	at           time.Duration // since the start
	resident     float64       // bytes
	proportional float64       // bytes
	heap         float64       // bytes in use
	goroutines   float64
	files        float64
	file         float64 // size of the store's file, in bytes
	live         float64 // bytes of a backup, which has no free space
	subscribers  float64
	published    float64 // messages so far
	remembered   float64 // messages of which the store knows the nonce
	delivered    float64 // messages to readers per second
	cores        float64
}

// watch takes samples until the context ends.
func (l *load) watch(ctx context.Context) ([]sample, error) {
	var all []sample
	begin, used, delivered := time.Now(), l.server.process().CPU(), int64(0)
	last := begin
	for pause(ctx, l.every) {
		s, err := l.server.sample()
		if err != nil {
			return all, err
		}
		now, cpu, got := time.Now(), l.server.process().CPU(), l.delivered.Load()
		seconds := now.Sub(last).Seconds()
		s.at = now.Sub(begin)
		s.cores, s.delivered = (cpu-used).Seconds()/seconds, float64(got-delivered)/seconds
		last, used, delivered = now, cpu, got
		s.published = float64(l.published.Load())
		s.remembered = remembered(s, all)
		all = append(all, s)
	}
	return all, nil
}

// remembered returns how many messages were published within the life of a nonce.
func remembered(now sample, before []sample) float64 {
	expired := 0.0
	for _, s := range before {
		if now.at-s.at >= store.NonceLife {
			expired = s.published
		}
	}
	return now.published - expired
}

// sample measures again if that fails, because a reload replaces the admin API too.
func (s *server) sample() (got sample, err error) {
	for range 3 {
		if got, err = s.measure(); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return got, err
}

func (s *server) measure() (sample, error) {
	values, err := s.metrics("go_memstats_heap_inuse_bytes", "go_goroutines", "caddy_sse_chat_subscribers")
	if err != nil {
		return sample{}, err
	}
	live, err := s.backup()
	if err != nil {
		return sample{}, err
	}
	info, err := os.Stat(s.file())
	if err != nil {
		return sample{}, err
	}
	p := s.process()
	return sample{
		resident: float64(p.Resident()), proportional: float64(p.Memory()), heap: values[0], goroutines: values[1],
		files: float64(p.Descriptors()), file: float64(info.Size()), live: float64(live), subscribers: values[2],
	}, nil
}

// metrics returns the sums of metrics over their labels.
func (s *server) metrics(names ...string) ([]float64, error) {
	response, err := s.client.Get("http://" + s.admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	sums := make([]float64, len(names))
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), "{")
		name, _, _ = strings.Cut(name, " ")
		for i := range names {
			if name == names[i] {
				v, err := strconv.ParseFloat(lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:], 64)
				if err != nil {
					return nil, fmt.Errorf("metric %s: %w", name, err)
				}
				sums[i] += v
			}
		}
	}
	return sums, lines.Err()
}

// backup returns the size of a backup of the store.
func (s *server) backup() (int64, error) {
	response, err := s.client.Get("http://" + s.admin + "/sse_chat/backups/default")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("a backup got status %d", response.StatusCode)
	}
	return n, err
}

// backTo waits until there are no more goroutines and descriptors than before,
// except for some that idle connections hold.
func (s *server) backTo(base sample) (now sample, back bool) {
	const some = 20
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(200 * time.Millisecond) {
		var err error
		if now, err = s.sample(); err != nil {
			continue
		}
		if now.subscribers == 0 && now.goroutines <= base.goroutines+some && now.files <= base.files+some {
			return now, true
		}
	}
	return now, false
}

// errors returns the log lines about errors and panics.
func (s *server) errors() (lines []string) {
	content, _ := os.ReadFile(s.log())
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, `"level":"error"`) || strings.Contains(line, "panic") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
