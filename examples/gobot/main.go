// Command gobot answers !ping in a room with pong, once each, whatever happens
// to the network: it resumes after the last message that it has dealt with,
// and its answers have nonces, so that a repeat is harmless.
//
//	go run ./examples/gobot -site http://localhost:3000 -room tea
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type message struct {
	ID    string `json:"id,omitempty"`
	Text  string `json:"text"`
	Name  string `json:"name,omitempty"`
	Nonce string `json:"nonce,omitempty"`
}

type bot struct {
	site, room string
	last       string // the id of the last message that it has dealt with
}

func main() {
	site := flag.String("site", "http://localhost:3000", "where the chat is")
	room := flag.String("room", "lobby", "which room to serve")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	b := &bot{site: *site, room: *room}
	for ctx.Err() == nil {
		err := b.read(ctx)
		if errors.Is(err, errKicked) {
			log.Print(err)
			return
		}
		if err != nil && ctx.Err() == nil {
			log.Print(err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// errKicked is the answer to a bot that must not come back.
var errKicked = errors.New("the bot was kicked")

// read reads one stream until it ends.
func (b *bot) read(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url("/subscribe"), http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Last-Event-ID", b.last)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return errKicked
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("subscribe: %s", response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		var m message
		if !ok || json.Unmarshal([]byte(data), &m) != nil || m.ID == "" {
			continue // another field, or an event that is no message
		}
		if m.Text == "!ping" {
			if err := b.send(ctx, message{Text: "pong", Name: "bot", Nonce: "pong-" + m.ID}); err != nil {
				return err // and come back for this message
			}
		}
		b.last = m.ID
	}
	return lines.Err()
}

func (b *bot) send(ctx context.Context, m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url("/update"), bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("update: %s", response.Status)
	}
	return nil
}

func (b *bot) url(path string) string {
	return b.site + path + "?name=bot&room=" + url.QueryEscape(b.room)
}
