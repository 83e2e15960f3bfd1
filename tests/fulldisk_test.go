//go:build linux && !race

package tests

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sse-chat/caddy-sse-chat/internal/chattest"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// smallDisk is a place for a file that cannot grow, until it can.
type smallDisk struct {
	dir string
	// pid is the process whose files are limited, where nothing can be mounted.
	pid int
}

const (
	smallSize = 1 << 20
	largeSize = 64 << 20
)

// newSmallDisk mounts a small tmpfs. Where that is not allowed, a limit on the
// size of files does the same: the kernel refuses to write.
func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	d := &smallDisk{dir: t.TempDir()}
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, fmt.Sprint("size=", smallSize)); err != nil {
		t.Logf("no tmpfs can be mounted (%v), so the size of files is limited", err)
		d.pid = -1
		return d
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// limits has the disk be that of a process.
func (d *smallDisk) limits(t *testing.T, pid int, size uint64) {
	t.Helper()
	if d.pid == 0 {
		return
	}
	d.pid = pid
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
}

// grow makes room.
func (d *smallDisk) grow(t *testing.T) {
	t.Helper()
	if d.pid != 0 {
		d.limits(t, d.pid, largeSize)
	} else if err := unix.Mount("tmpfs", d.dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprint("size=", largeSize)); err != nil {
		t.Fatal(err)
	}
}

// With a full disk publishers are told to come back later, and readers notice
// nothing. Nothing that was acknowledged is lost, also if the process is killed
// then.
func TestTheDiskIsFull(t *testing.T) {
	t.Run("on a tmpfs, or what comes next to it", func(t *testing.T) { testFullDisk(t, newSmallDisk(t)) })
	t.Run("with a limit on the size of files", func(t *testing.T) { testFullDisk(t, &smallDisk{dir: t.TempDir(), pid: -1}) })
}

func testFullDisk(t *testing.T, disk *smallDisk) {
	addr := chattest.FreeAddr(t)
	block := fmt.Sprintf("sse_chat {\nstore bolt %s\nretain 1000000\n}", filepath.Join(disk.dir, "chat.db"))
	p := caddytest.Start(t, "http://"+addr, block)
	disk.limits(t, p.Pid, smallSize)
	crowd := newCrowd(t, p.Site)
	crowd.until(t, "the disk is full", func() bool { return crowd.refused[http.StatusServiceUnavailable] > 100 })
	crowd.mu.Lock()
	for _, r := range crowd.readers {
		if r.opened != 1 {
			t.Errorf("the reader of %v had to come back %d times", r.rooms, r.opened-1)
		}
	}
	crowd.mu.Unlock()

	p.Kill(t)
	p = caddytest.Start(t, "http://"+addr, block)
	disk.limits(t, p.Pid, smallSize)
	refused, acked := 0, 0
	crowd.until(t, "the readers are back", func() bool {
		for _, r := range crowd.readers {
			if r.opened < 2 {
				return false
			}
		}
		refused, acked = crowd.refused[http.StatusServiceUnavailable], len(crowd.acked)
		return true
	})
	crowd.until(t, "the disk is still full", func() bool { return crowd.refused[http.StatusServiceUnavailable] > refused+50 })
	disk.grow(t)
	crowd.until(t, "there is room again", func() bool { return len(crowd.acked) > acked+1000 })
	crowd.check(t)
}

// until waits until something is so, of what the mutex guards.
func (c *crowd) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	chattest.Eventually(t, what, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return ok()
	})
}
