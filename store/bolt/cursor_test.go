package bolt

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// A backup has the place of a cursor, and is found whole.
func TestABackupHasTheCursor(t *testing.T) {
	dir := fastDir(t)
	s := openAt(t, filepath.Join(dir, "chat.db"), new(storetest.Hub), storetest.Plenty)
	id := storetest.MustAppend(t, s, "a", storetest.Text("1"), storetest.Text("2"))[0].ID
	c, err := s.OpenCursor(t.Context(), "webhook")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if complete, err := checkCopy(s.file); err != nil || !complete {
		t.Fatalf("a backup is found whole: %t, %v", complete, err)
	}
	backup, err := s.file.copy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer backup.close()
	path := filepath.Join(dir, "restored.db")
	restored, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(restored, backup); err != nil {
		t.Fatal(err)
	}
	if err := restored.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = openAt(t, path, new(storetest.Hub), storetest.Plenty).OpenCursor(t.Context(), "webhook"); err != nil || c.At() != id {
		t.Errorf("in the backup the cursor is at %v (%v), want %v", c.At(), err, id)
	}
}
