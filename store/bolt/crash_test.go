//go:build linux

package bolt

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// crashFile is the environment variable with the file of the process to be killed.
const crashFile = "SSE_CHAT_CRASH_FILE"

// TestMain runs the process to be killed, if it is one.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		fmt.Println(changeUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// changeUntilKilled publishes messages, and edits, extends and deletes them. It prints a
// line for all that the store has acknowledged: the message's id, and its text or "gone".
func changeUntilKilled(path string) error {
	s, err := Open(path, "test", new(storetest.Hub), storetest.Plenty, nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for i := range 1 << 20 {
		draft := store.Draft{Text: fmt.Sprintf("secret-%d-", i), Owner: kim, Nonce: fmt.Sprint(i)}
		receipts, err := s.Append(ctx, "a", []store.Draft{draft})
		if err != nil {
			return err
		}
		id := receipts[0].ID
		fmt.Println(id, draft.Text)
		for _, c := range []store.Change{
			{Kind: store.Append, Text: "more"},
			{Kind: store.Edit, Text: fmt.Sprintf("edited-%d.", i), HasText: true},
			{Kind: store.Delete},
		}[:1+i%3] {
			c.By, c.MaxText = kim, 100
			receipt, err := s.Change(ctx, "a", id, c)
			switch {
			case err != nil:
				return err
			case receipt.Message == nil:
				fmt.Println(id, "gone")
			default:
				fmt.Println(id, receipt.Message.Post().Text)
			}
		}
	}
	return nil
}

// A change that was acknowledged is there after the process was killed at any moment,
// and what it has replaced is overwritten by the next process.
func TestChangesOutliveAKill(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	for range 10 {
		path := filepath.Join(fastDir(t), "chat.db")
		process := exec.Command(exe)
		process.Env = append(os.Environ(), crashFile+"="+path)
		process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := process.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		// what was acknowledged last, and before that, of each message
		last, replaced := make(map[store.ID]string), make(map[store.ID]string)
		lines := bufio.NewScanner(out)
		kill := time.AfterFunc(time.Duration(50+rand.IntN(150))*time.Millisecond, func() { _ = process.Process.Kill() })
		for lines.Scan() {
			word, text, ok := strings.Cut(lines.Text(), " ")
			id, err := store.ParseID(word)
			if !ok || err != nil {
				t.Fatalf("the process says %q", lines.Text())
			}
			if was, known := last[id]; known {
				changes++
				if !strings.HasPrefix(text, was) {
					replaced[id] = was
				}
			}
			last[id] = text
		}
		kill.Stop()
		_ = process.Wait()
		checkKilled(t, path, last, replaced)
	}
	t.Logf("%d changes were acknowledged", changes)
	if changes < 100 {
		t.Error("that is too few for a test")
	}
}

func checkKilled(t *testing.T, path string, last, replaced map[store.ID]string) {
	t.Helper()
	s := openAt(t, path, new(storetest.Hub), storetest.Plenty)
	page, err := s.After(t.Context(), store.Span{Rooms: []string{"a"}, UpTo: s.State().Latest}, 1<<20)
	if err != nil || page.More {
		t.Fatalf("more %t, %v", page.More, err)
	}
	found := make(map[store.ID]string)
	for _, m := range page.Messages {
		found[m.ID] = m.Post().Text
	}
	unsure := 0
	for id, text := range last {
		got, ok := found[id]
		if text == "gone" && !ok || got == text {
			continue
		}
		// the last change may have been made and not acknowledged
		if unsure++; unsure > 1 {
			t.Errorf("%v is %q (%t), and %q was acknowledged", id, got, ok, text)
		}
	}
	if extra := len(found) - len(last); extra > 1 {
		t.Errorf("%d messages are there that were not acknowledged", extra)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for id, text := range replaced {
		if strings.Contains(string(content), text) {
			t.Fatalf("%q of %v was replaced, and is still in the file", text, id)
		}
	}
}
