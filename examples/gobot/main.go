// Command gobot answers each !ping in a room with exactly one pong, across
// network failures: it resumes after the last event that it handled, and every
// attempt to answer a message uses the same nonce, which nobody else can guess.
//
//	go run ./examples/gobot -site http://localhost:3000 -room tea
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
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
	Text  string `json:"text"`
	Name  string `json:"name,omitempty"`
	Nonce string `json:"nonce,omitempty"`
}

type bot struct {
	site, room string
	secret     [16]byte
	last       string // the id of the last event that was handled
}

func main() {
	site := flag.String("site", "http://localhost:3000", "URL of the chat")
	room := flag.String("room", "lobby", "room to serve")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	b := &bot{site: *site, room: *room}
	_, _ = rand.Read(b.secret[:]) // never fails
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

// errKicked is returned if the server tells the bot not to come back.
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
	event, id := "", b.last
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
		case "":
			event = ""
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			if event == "" { // a message
				if err := b.answer(ctx, id, value); err != nil {
					return err // reconnect and read this message again
				}
			}
			b.last = id
		}
	}
	return lines.Err()
}

// answer answers the message with the given id, if it is for the bot.
func (b *bot) answer(ctx context.Context, id, data string) error {
	var m message
	if err := json.Unmarshal([]byte(data), &m); err != nil {
		return err // the stream has ended in the middle of a line
	}
	if m.Text != "!ping" {
		return nil
	}
	// the same for every attempt, and impossible to guess
	mac := hmac.New(sha256.New, b.secret[:])
	mac.Write([]byte(id))
	return b.send(ctx, message{Text: "pong", Name: "bot", Nonce: hex.EncodeToString(mac.Sum(nil)[:16])})
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
	return b.site + path + "?events=1&name=bot&room=" + url.QueryEscape(b.room)
}
