//go:build !windows && !plan9 && !solaris && !aix && !android

package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// lock takes the lock that bbolt takes later. So a file in use is an error at
// once, and the error names the process that uses it.
func lock(disk *os.File) error {
	err := syscall.Flock(int(disk.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("it is in use by %s", locker(disk))
	}
	return err
}

// writable returns an error if this process cannot create files in a folder.
func writable(folder string) error {
	if err := unix.Access(folder, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "access", Path: folder, Err: err}
	}
	return nil
}

// locker returns the process that has locked a file, if the kernel reports it.
func locker(disk *os.File) string {
	const unknown = "another process"
	info, err := disk.Stat()
	if err != nil {
		return unknown
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return unknown
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return unknown
	}
	inode := fmt.Sprintf(":%d", stat.Ino)
	for line := range bytes.Lines(locks) {
		// 1: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF
		field := strings.Fields(string(line))
		if len(field) > 5 && field[1] == "FLOCK" && strings.HasSuffix(field[5], inode) {
			name, _ := os.ReadFile("/proc/" + field[4] + "/comm")
			return strings.TrimSpace(fmt.Sprintf("the process %s %s", field[4], bytes.TrimSpace(name)))
		}
	}
	return unknown
}
