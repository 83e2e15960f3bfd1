package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/sse-chat/caddy-sse-chat/bench/internal/protocol"
)

// publisher is the only publisher of a room, and sends one message after the
// other.
type publisher struct {
	load    *load
	room    *room
	clients []*http.Client // each message takes one of them
}

// newPublisher returns a publisher. Over HTTP/2 it sends its messages on the
// connections of readers.
func (l *load) newPublisher(r *room) *publisher {
	p := &publisher{load: l, room: r}
	add := func(transport *http.Transport) {
		p.clients = append(p.clients, &http.Client{Transport: transport, Timeout: patience})
	}
	if l.over != protocol.H2 {
		add(&http.Transport{TLSClientConfig: insecure()})
		return p
	}
	for i, r := range l.readers {
		if kindOf(i) != notParked {
			add(r.browser.transport)
		}
	}
	return p
}

func (p *publisher) close() {
	for _, client := range p.clients {
		client.CloseIdleConnections()
	}
}

// pace publishes at an interval until the context ends.
func (p *publisher) pace(ctx context.Context, seconds float64) {
	interval := time.Duration(seconds * float64(time.Second))
	for pause(ctx, between(interval/2, interval*3/2)) {
		// so that the last one is answered too
		if err := p.publish(context.WithoutCancel(ctx)); err != nil {
			p.load.faults.add("%s: %v", p.room.name, err)
			return
		}
	}
}

// publish publishes the next message, and repeats it with the same nonce until it
// gets an answer.
func (p *publisher) publish(ctx context.Context) error {
	number := p.room.sent.Add(1)
	body, err := json.Marshal(map[string]string{
		"text":  fmt.Sprintf("%d %s", number, strings.Repeat("x", p.load.size)),
		"nonce": fmt.Sprintf("n%d", number),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		status, err := p.post(ctx, string(body))
		switch {
		case status == http.StatusOK:
			p.room.acked.Store(number)
			p.load.published.Add(1)
			return nil
		case status != 0:
			return fmt.Errorf("message %d got status %d", number, status)
		case ctx.Err() != nil:
			return fmt.Errorf("message %d was not answered: %w", number, err)
		}
		p.load.repeats.Add(1)
		pause(ctx, 50*time.Millisecond)
	}
}

func (p *publisher) post(ctx context.Context, body string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.load.over.Scheme()+"://"+p.load.server.parked+"/update?room="+p.room.name, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	response, err := p.clients[rand.IntN(len(p.clients))].Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var stored struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&stored); response.StatusCode == http.StatusOK && (err != nil || stored.ID == "") {
		return 0, fmt.Errorf("an answer without an id: %w", err)
	}
	return response.StatusCode, nil
}
