package store

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// fieldsOf returns the fields of an event as a parser sees them that ends lines where
// split does.
func fieldsOf(event string, split func(rune) bool) (fields []string) {
	event = strings.ReplaceAll(event, "\r\n", "\n")
	for line := range strings.SplitSeq(strings.Map(func(r rune) rune {
		if split(r) {
			return '\n'
		}
		return r
	}, event), "\n") {
		fields = append(fields, line)
	}
	return fields
}

func browserEnds(r rune) bool { return r == '\r' || r == '\n' }

// as Python's splitlines
func pythonEnds(r rune) bool {
	return strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r)
}

// Whatever a text or data are, they forge no field of a raw event, and come back.
func FuzzRawFrame(f *testing.F) {
	for _, s := range []string{"", " ", "x", " leading", "a\nb\r\nc\rd", "\n", "\n\n", "a\u2028event: x", "a\u0085id: 1", "data: x\n\nevent: y", "\x00\x1c", "<b>\"</b>"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, inData bool) {
		if !utf8.ValidString(s) {
			return
		}
		draft := Draft{Text: s, Event: "order", Name: "kim"}
		if inData {
			data, _ := json.Marshal(s)
			draft = Draft{Text: "other", Data: string(data), Event: "order"}
		}
		m := NewMessage(ID{Ms: 5, N: 7}, "r", draft)
		var frames RawFrames
		frame := string(frames.Frame(m))
		want := fieldsOf(s, pythonEnds)
		for name, ends := range map[string]func(rune) bool{"a browser": browserEnds, "Python": pythonEnds} {
			fields := fieldsOf(frame, ends)
			if len(fields) < 5 || fields[0] != "event: order" || fields[1] != "id: 5-7" || !slices.Equal(fields[len(fields)-2:], []string{"", ""}) {
				t.Fatalf("%s reads %q", name, fields)
			}
			var lines []string
			for _, field := range fields[2 : len(fields)-2] {
				line, ok := strings.CutPrefix(field, "data: ")
				if !ok {
					t.Fatalf("%s reads the field %q in %q", name, field, frame)
				}
				lines = append(lines, line)
			}
			if !slices.Equal(lines, want) {
				t.Fatalf("%s reads %q, want %q", name, lines, want)
			}
		}
		if chunk := string(frames.Chunk(m)); !strings.HasSuffix(chunk, "\r\n"+frame+"\r\n") {
			t.Fatalf("the chunk is %q", chunk)
		}
	})
}

func TestRawFrames(t *testing.T) {
	for _, test := range []struct {
		draft Draft
		want  string
	}{
		{Draft{Text: "hi"}, "id: 1\ndata: hi\n\n"},
		{Draft{Text: " a\n\nb "}, "id: 1\n" + "data:  a\n" + "data: \n" + "data: b \n\n"},
		{Draft{Text: "a\r\nb\rc\n"}, "id: 1\ndata: a\ndata: b\ndata: c\ndata: \n\n"},
		{Draft{Text: "x", Data: `{"a":1}`}, "id: 1\ndata: {\"a\":1}\n\n"},
		{Draft{Data: `"<li>\n\"</li>"`}, "id: 1\ndata: <li>\ndata: \"</li>\n\n"},
		{Draft{Data: `""`}, "id: 1\ndata: \n\n"},
		{Draft{Data: `17`, Event: "score"}, "event: score\nid: 1\ndata: 17\n\n"},
	} {
		var frames RawFrames
		if got := string(frames.Frame(NewMessage(ID{Ms: 1}, "r", test.draft))); got != test.want {
			t.Errorf("%+v is %q, want %q", test.draft, got, test.want)
		}
	}
}

// The frames of many messages take no more memory than their limit, and an old message is
// encoded again.
func TestRawFramesAreBounded(t *testing.T) {
	var frames RawFrames
	text := strings.Repeat("x", 10_000)
	var messages []*Message
	for i := range 1000 {
		m := NewMessage(ID{Ms: int64(i + 1)}, "r", Draft{Text: text})
		messages = append(messages, m)
		frames.Frame(m)
		if frames.bytes > maxRawBytes {
			t.Fatalf("%d bytes after %d messages", frames.bytes, i+1)
		}
	}
	kept := 0
	frames.frames.Range(func(any, any) bool { kept++; return true })
	if kept != len(frames.order) || kept < 30 || kept > 60 {
		t.Errorf("%d frames are kept, %d in order", kept, len(frames.order))
	}
	newest := messages[len(messages)-1]
	if a, b := frames.Frame(newest), frames.Frame(newest); &a[0] != &b[0] {
		t.Error("the newest message is encoded twice")
	}
	if got, want := string(frames.Frame(messages[0])), "id: 1\ndata: "+text+"\n\n"; got != want {
		t.Errorf("the oldest message is %.80q…", got)
	}
}

// Readers that ask at once get the same bytes.
func TestRawFramesAreEncodedOnce(t *testing.T) {
	var frames RawFrames
	var group sync.WaitGroup
	got := make([][]byte, 8)
	m := NewMessage(ID{Ms: 1}, "r", Draft{Text: "hi"})
	for i := range got {
		group.Go(func() { got[i] = frames.Chunk(m) })
	}
	group.Wait()
	for _, chunk := range got {
		if &chunk[0] != &got[0][0] {
			t.Error("a message was encoded twice")
		}
	}
	if len(frames.order) != 1 {
		t.Errorf("counted %d times", len(frames.order))
	}
}

func TestCheckLength(t *testing.T) {
	for _, test := range []struct {
		name  string
		draft Draft
		limit int
		want  string // "" for none
	}{
		{"short", Draft{Text: "hi"}, 2, ""},
		{"long", Draft{Text: "hi!"}, 2, "text: too long, 3 bytes are more than 2"},
		{"all of it", Draft{Text: "a", Data: "17", Event: "e"}, 3, "text, data and event: too long, 4 bytes are more than 3"},
		{"lines alone, by default", Draft{Text: strings.Repeat("\n", 8<<10)}, 8 << 10, ""},
		{"many lines", Draft{Text: strings.Repeat("12345\r\n", 30<<10/7)}, 30 << 10, ""},
		{"too many lines", Draft{Text: strings.Repeat("\n", 30<<10)}, 30 << 10, "text: too long, the lines make an event of 215047 bytes, more than 63488"},
		{"too many separators", Draft{Text: strings.Repeat("\u2028", 10<<10)}, 30 << 10, "text: too long, the lines make an event of 71687 bytes, more than 63488"},
		{"too many lines of data", Draft{Data: `"` + strings.Repeat(`\n`, 14<<10) + `"`}, 30 << 10, "text, data and event: too long, the lines make an event of 100359 bytes, more than 63488"},
		{"lines of text beside data", Draft{Text: strings.Repeat("\n", 29<<10), Data: "17"}, 30 << 10, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.draft.CheckLength(test.limit)
			if test.want == "" && err == nil {
				return
			}
			if err == nil || err.Error() != test.want || !errors.Is(err, ErrTooLong) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
