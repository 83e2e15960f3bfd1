package storetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
)

func testDryRun(t *testing.T, open Open) {
	hub := new(Hub)
	s := open(t, hub, Plenty)
	m := MustAppend(t, s, "a", store.Draft{Text: "x", Owner: kim})[0]
	try := func(c store.Change) (store.Receipt, error) {
		t.Helper()
		before, stored := s.State().Latest, storedAs(t, s, m.ID)
		c.DryRun = true
		receipt, err := s.Change(t.Context(), "a", m.ID, c)
		if now := storedAs(t, s, m.ID); now != stored {
			t.Errorf("a dry run of %s changes %s to %s", c.Kind, stored, now)
		}
		if c.Kind != store.Delete && err == nil && (receipt.Message == nil || string(receipt.Message.JSON()) != stored) {
			t.Errorf("a dry run of %s returns %+v, want %s", c.Kind, receipt.Message, stored)
		}
		if latest := s.State().Latest; latest != before {
			t.Errorf("a dry run of %s moves the log from %v to %v", c.Kind, before, latest)
		}
		return receipt, err
	}
	named := edit(kim, "new")
	named.Nonce = "n"
	for _, c := range []store.Change{named, add(kim, "y"), react(lee, "👍"), remove(kim)} {
		// twice, because the first must not use the nonce
		for range 2 {
			if receipt, err := try(c); err != nil || receipt.ID != m.ID || receipt.Repeat || receipt.Unchanged {
				t.Errorf("a dry run of %s is answered %+v, %v", c.Kind, receipt, err)
			}
		}
	}
	if receipt, err := try(unreact(lee, "👍")); err != nil || !receipt.Unchanged {
		t.Errorf("a dry run without effect is answered %+v, %v", receipt, err)
	}
	for c, want := range map[*store.Change]error{
		new(edit(lee, "z")):                            store.ErrNotYours,
		new(remove(lee)):                               store.ErrNotYours,
		new(react("", "👍")):                            store.ErrNobody,
		new(edit(kim, strings.Repeat("z", maxText+1))): store.ErrTooLong,
	} {
		if receipt, err := try(*c); !errors.Is(err, want) {
			t.Errorf("a dry run of %s is answered %+v, %v, want %v", c.Kind, receipt, err, want)
		}
	}
	if len(hub.Deltas()) > 0 || len(hub.deleted) > 0 {
		t.Errorf("the hub is told of %v and %v", hub.Deltas(), hub.deleted)
	}
	m = must(t, s, m, named)
	jsonHas(t, m, `"text":"new"`)
	if receipt, err := try(named); err != nil || !receipt.Repeat || receipt.Message == nil {
		t.Errorf("a dry run of a repeat is answered %+v, %v", receipt, err)
	}
	m = must(t, s, m, react(lee, "👍"))
	for _, c := range []store.Change{react(kim, "👍"), unreact(lee, "👍")} {
		if _, err := try(c); err != nil {
			t.Errorf("a dry run of %s is answered %v", c.Kind, err)
		}
	}
	must(t, s, m, remove(kim))
	if receipt, err := try(edit(kim, "z")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a dry run of what is deleted is answered %+v, %v", receipt, err)
	}
}

// storedAs returns the JSON of a message of the room "a", or "" if it is gone.
func storedAs(t *testing.T, s store.Store, id store.ID) string {
	t.Helper()
	page, err := s.After(t.Context(), store.Span{Rooms: []string{"a"}, After: id.Prev(), UpTo: id}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Messages) == 0 {
		return ""
	}
	return string(page.Messages[0].JSON())
}
