package store

import (
	"encoding/json"
	"slices"
	"strings"
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
		frame := string(m.RawFrame())
		want := slices.DeleteFunc(fieldsOf(s, pythonEnds), func(string) bool { return false })
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
		if chunk := string(m.RawChunk()); !strings.HasSuffix(chunk, "\r\n"+frame+"\r\n") {
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
		{Draft{Text: " a\n\nb "}, "id: 1\ndata:  a\ndata: \ndata: b \n\n"},
		{Draft{Text: "a\r\nb\rc\n"}, "id: 1\ndata: a\ndata: b\ndata: c\ndata: \n\n"},
		{Draft{Text: "x", Data: `{"a":1}`}, "id: 1\ndata: {\"a\":1}\n\n"},
		{Draft{Data: `"<li>\n\"</li>"`}, "id: 1\ndata: <li>\ndata: \"</li>\n\n"},
		{Draft{Data: `""`}, "id: 1\ndata: \n\n"},
		{Draft{Data: `17`, Event: "score"}, "event: score\nid: 1\ndata: 17\n\n"},
	} {
		if got := string(NewMessage(ID{Ms: 1}, "r", test.draft).RawFrame()); got != test.want {
			t.Errorf("%+v is %q, want %q", test.draft, got, test.want)
		}
	}
}
