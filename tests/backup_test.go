//go:build linux && !race

package tests

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// backedUp is a Caddy whose hub holds more than the kernel's buffers do.
type backedUp struct {
	*caddytest.Process
	dir string
}

func startBackedUp(t *testing.T, dir string) *backedUp {
	t.Helper()
	block := fmt.Sprintf("sse_chat {\nmax_text 30KiB\nstore bolt %s\n}", filepath.Join(dir, "chat.db"))
	b := &backedUp{caddytest.StartAdmin(t, chattest.FreeAddr(t), "http://"+chattest.FreeAddr(t), block), dir}
	line := `{"text":"` + strings.Repeat("x", 30<<10) + "\"}\n"
	for range 4 {
		if a := b.Do(t, http.MethodPost, "/update", strings.Repeat(line, 250), "Content-Type: application/x-ndjson"); a.Status != http.StatusOK {
			t.Fatalf("%d %.200s", a.Status, a.Body)
		}
	}
	return b
}

// begin reads the first bytes of a backup.
func (b *backedUp) begin(t *testing.T) (giveUp func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	response := b.Admin.Send(t, ctx, http.MethodGet, "/sse_chat/backups/default", "")
	if response.StatusCode != http.StatusOK || response.ContentLength < 20<<20 {
		t.Fatalf("a backup is answered %d with %d bytes", response.StatusCode, response.ContentLength)
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	return func() {
		cancel()
		response.Body.Close()
	}
}

func (b *backedUp) files(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Whatever ends a download of a backup, nothing is left of it.
func TestABackupThatIsBrokenOffLeavesNothing(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(t *testing.T, b *backedUp, giveUp func())
	}{
		{"by its client", func(_ *testing.T, _ *backedUp, giveUp func()) { giveUp() }},
		{"by an exit", func(t *testing.T, b *backedUp, giveUp func()) {
			if took := b.Terminate(t); took > 10*time.Second {
				t.Errorf("the exit took %s", took)
			}
			giveUp()
		}},
		{"by a kill", func(t *testing.T, b *backedUp, giveUp func()) {
			b.Kill(t)
			giveUp()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := startBackedUp(t, t.TempDir())
			test.end(t, b, b.begin(t))
			if got := b.files(t); !slices.Equal(got, []string{"chat.db"}) {
				t.Errorf("left are %v", got)
			}
		})
	}
}

// A backup for which there is no room is an error and leaves nothing, and it
// works when there is room.
func TestABackupOnAFullDisk(t *testing.T) {
	for _, test := range []struct {
		name string
		full func(t *testing.T, b *backedUp) (room func())
	}{
		{"on a small disk", func(t *testing.T, b *backedUp) func() {
			var disk unix.Statfs_t
			if err := unix.Statfs(b.dir, &disk); err != nil {
				t.Fatal(err)
			}
			used := (disk.Blocks - disk.Bfree) * uint64(disk.Bsize)
			if err := unix.Mount("tmpfs", b.dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprint("size=", used+8<<20)); err != nil {
				t.Skip(err)
			}
			return func() {
				if err := unix.Mount("tmpfs", b.dir, "tmpfs", unix.MS_REMOUNT, "size=256m"); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"with a limit on the size of files", func(t *testing.T, b *backedUp) func() {
			disk := &smallDisk{dir: b.dir, pid: -1}
			disk.limits(t, b.Pid, largeSize/8)
			return func() { disk.limits(t, b.Pid, 16*largeSize) }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256m"); err == nil {
				t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			}
			b := startBackedUp(t, dir)
			room := test.full(t, b)
			a := b.Admin.Do(t, http.MethodGet, "/sse_chat/backups/default", "")
			if a.Status != http.StatusInternalServerError || !strings.Contains(a.Body, "error") {
				t.Errorf("a backup without room is answered %d %.200s", a.Status, a.Body)
			}
			if got := b.files(t); !slices.Equal(got, []string{"chat.db"}) {
				t.Errorf("left are %v", got)
			}
			room()
			if a := b.Admin.Do(t, http.MethodGet, "/sse_chat/backups/default", ""); a.Status != http.StatusOK || len(a.Body) < 20<<20 {
				t.Errorf("a backup is answered %d with %d bytes", a.Status, len(a.Body))
			}
		})
	}
}
