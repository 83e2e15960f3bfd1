package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFrame(t *testing.T) {
	for _, test := range []struct {
		name  string
		id    ID
		room  string
		draft Draft
		want  string
	}{
		{
			"only what the first server sent, in the lobby",
			ID{1000, 0},
			Lobby,
			Draft{Text: "안녕 <b>&"},
			"id: 1000\ndata: {\"text\":\"안녕 <b>&\",\"timestamp\":1000,\"id\":\"1000\"}\n\n",
		},
		{
			"everything",
			ID{1000, 2},
			"방",
			Draft{Text: "a\nb\r\tc\"\\\u2028x\u2029", Name: "김", Nonce: "n_1-x"},
			"id: 1000-2\ndata: {\"text\":\"a\\nb\\r\\tc\\\"\\\\\\u2028x\\u2029\",\"timestamp\":1000,\"id\":\"1000-2\",\"room\":\"방\",\"name\":\"김\",\"nonce\":\"n_1-x\"}\n\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := NewMessage(test.id, test.room, test.draft)
			if got := string(m.Frame()); got != test.want {
				t.Errorf("frame\n%q, want\n%q", got, test.want)
			}
			if want := fmt.Sprintf("%x\r\n%s\r\n", len(test.want), test.want); string(m.Chunk()) != want {
				t.Errorf("chunk\n%q, want\n%q", m.Chunk(), want)
			}
			if want := test.want[strings.Index(test.want, "{") : len(test.want)-2]; string(m.JSON()) != want {
				t.Errorf("JSON %q, want %q", m.JSON(), want)
			}
		})
	}
}

// Whatever a message contains, its event has one id line, one data line and a blank
// line, and the data decodes to the message.
func FuzzFrame(f *testing.F) {
	f.Add("text", "name", "room", "nonce", int64(1), uint64(0))
	f.Add("a\nid: 7\n\ndata: x\r\rretry: 1", "\u0000", "\u0085", "\xff", int64(1<<62), ^uint64(0))
	f.Add("\ud7ff\ue000\xed\xa0\x80", "\x1b[0m", `"}`, `\`, int64(0), uint64(3))
	f.Fuzz(func(t *testing.T, text, name, room, nonce string, ms int64, n uint64) {
		if ms < 0 {
			return
		}
		m := NewMessage(ID{ms, n}, room, Draft{Text: text, Name: name, Nonce: nonce})
		frame := m.Frame()
		lines := bytes.Split(frame, []byte("\n"))
		if len(lines) != 4 || bytes.ContainsAny(frame, "\r\x00\u2028\u2029") ||
			string(lines[0]) != "id: "+string(m.ID.Append(nil)) || !bytes.HasPrefix(lines[1], []byte("data: {")) || len(lines[2])+len(lines[3]) > 0 {
			t.Fatalf("not one event: %q", frame)
		}
		if !utf8.Valid(frame) {
			t.Fatalf("not UTF-8: %q", frame)
		}
		var got struct {
			Text, Room, Name, Nonce, ID string
			Timestamp                   int64
		}
		if err := json.Unmarshal(m.JSON(), &got); err != nil {
			t.Fatalf("%v in %q", err, m.JSON())
		}
		if room == Lobby {
			room = ""
		}
		for _, field := range []struct{ got, want string }{{got.Text, text}, {got.Name, name}, {got.Room, room}, {got.Nonce, nonce}} {
			if field.got != strings.ToValidUTF8(eachInvalid(field.want), "") {
				t.Fatalf("%q came back as %q", field.want, field.got)
			}
		}
		if got.Timestamp != ms {
			t.Fatalf("timestamp %d, want %d", got.Timestamp, ms)
		}
	})
}

// eachInvalid replaces each invalid byte by U+FFFD.
func eachInvalid(s string) string { return string([]rune(s)) }

func TestLogAgainstSlice(t *testing.T) {
	var log Log
	var model []ID
	clock := Clock{}
	check := func() {
		t.Helper()
		if log.Len() != len(model) {
			t.Fatalf("%d messages, want %d", log.Len(), len(model))
		}
		size := 0
		for i, id := range model {
			if log.At(i).ID != id {
				t.Fatalf("message %d is %v, want %v", i, log.At(i).ID, id)
			}
			size += len(log.At(i).Frame())
			for _, near := range []ID{id.Prev(), id, id.Next()} {
				want := i
				if !id.After(near) {
					want++
				}
				if got := log.After(near); got != want && (near != id.Next() || i+1 == len(model) || model[i+1] != near) {
					t.Fatalf("After(%v) = %d, want %d of %v", near, got, want, model)
				}
			}
		}
		if log.Bytes() != size {
			t.Fatalf("%d bytes, want %d", log.Bytes(), size)
		}
	}
	push := func(n int) {
		for range n {
			m := NewMessage(clock.Next(clock.Last().Ms+int64(n%3)), "r", Draft{Text: "x"})
			log.Push(m)
			model = append(model, m.ID)
		}
	}
	shift := func(n int) {
		for range n {
			if got := log.Shift().ID; got != model[0] {
				t.Fatalf("Shift() = %v, want %v", got, model[0])
			}
			model = model[1:]
		}
	}
	check()
	for round := range 12 {
		push(3 + round)
		check()
		shift(round)
		check()
		if len(model) > 2 {
			id := model[len(model)/2]
			if !log.Remove(id) || log.Remove(id) || log.Remove(ID{}) {
				t.Fatal("Remove does not report what it did")
			}
			model = append(model[:len(model)/2:len(model)/2], model[len(model)/2+1:]...)
			check()
		}
	}
	push(1000)
	shift(990)
	check()
	shift(log.Len())
	check()
	if len(log.buf) > 256 {
		t.Errorf("an empty log holds room for %d messages", len(log.buf))
	}
}
