package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/bolt"
)

const messages = 1_000_000

// million measures a Caddy with a million messages, in one room and in 10,000.
func (b *bench) million() error {
	fmt.Printf("\nA million messages\n\n| | file, MB | ready after, ms | (an empty one) | last 10 from the store, µs | resume of the last 10, ms | 100 deep in the past, ms |\n|---|---|---|---|---|---|---|\n")
	for _, rooms := range []int{1, 10_000} {
		path := b.file()
		cursors, err := fill(path, rooms)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		lookup, err := lastTen(path)
		if err != nil {
			return err
		}
		var ready, empty []float64
		var resume, deep time.Duration
		for range max(3, b.rounds) {
			none, err := startCaddy(b.dir, "store bolt "+b.file())
			if err != nil {
				return err
			}
			none.stop()
			c, err := startCaddy(b.dir, "store bolt "+path)
			if err != nil {
				return err
			}
			ready, empty = append(ready, ms(c.ready)), append(empty, ms(none.ready))
			resume, err = c.resume(cursors[1], 10)
			if err == nil {
				deep, err = c.resume(cursors[0], 100)
			}
			c.stop()
			if err != nil {
				return err
			}
		}
		fmt.Printf("| in %d rooms | %d | %.0f | %.0f | %d | %.2f | %.2f |\n", rooms, info.Size()>>20, median(ready), median(empty), lookup.Microseconds(), ms(resume), ms(deep))
	}
	return nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// fill creates a file with a million messages. It returns the ids of two messages
// of the first room: the one a tenth into it, and the eleventh newest.
func fill(path string, rooms int) (cursors [2]string, err error) {
	s, err := bolt.Open(path, "bench", hub{}, store.Limits{Count: messages, Rooms: 100_000}, nil)
	if err != nil {
		return cursors, err
	}
	defer s.Close()
	batch := min(1000, messages/rooms)
	drafts := make([]store.Draft, batch)
	for i := range drafts {
		drafts[i].Text = text
	}
	var first []store.Receipt
	results := make(chan error, rooms)
	for n := 0; n < messages; n += batch * rooms {
		for r := range rooms {
			if r > 0 {
				go func() {
					_, err := s.Append(context.Background(), fmt.Sprint("room-", r), drafts)
					results <- err
				}()
				continue
			}
			if first, err = s.Append(context.Background(), "lobby", drafts); err != nil {
				return cursors, err
			}
			if n <= messages/10 {
				cursors[0] = first[0].Message.ID.String()
			}
		}
		for range rooms - 1 {
			if err := <-results; err != nil {
				return cursors, err
			}
		}
	}
	cursors[1] = first[batch-11].Message.ID.String()
	return cursors, nil
}

// lastTen returns how long the store takes to find the newest ten messages.
func lastTen(path string) (time.Duration, error) {
	s, err := bolt.Open(path, "bench", hub{}, store.Limits{Count: messages, Rooms: 100_000}, nil)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	var took []time.Duration
	for range 101 {
		begin := time.Now()
		page, err := s.Before(context.Background(), "lobby", s.State().Latest.Next(), 10)
		if err != nil || len(page.Messages) != 10 {
			return 0, fmt.Errorf("found %d messages: %w", len(page.Messages), err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[50], nil
}

// resume returns the median time from a request to the arrival of the n messages
// after an id.
func (c *caddy) resume(id string, n int) (time.Duration, error) {
	var took []time.Duration
	for range 101 {
		begin := time.Now()
		ctx, cancel := context.WithCancel(context.Background())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addr+"/subscribe", nil)
		if err != nil {
			cancel()
			return 0, err
		}
		request.Header.Set("Last-Event-ID", id)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			cancel()
			return 0, err
		}
		lines, seen := bufio.NewScanner(response.Body), 0
		lines.Buffer(nil, 1<<20)
		for seen < n && lines.Scan() {
			if strings.HasPrefix(lines.Text(), "data: ") {
				seen++
			}
		}
		took = append(took, time.Since(begin))
		cancel()
		response.Body.Close()
		if seen < n {
			return 0, fmt.Errorf("the stream ended after %d messages: %w", seen, lines.Err())
		}
	}
	slices.Sort(took)
	return took[50], nil
}
