package tests

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	ssechat "github.com/sse-chat/caddy-sse-chat"
	"github.com/sse-chat/caddy-sse-chat/internal/chattest/caddytest"
)

// The file system has all files of the page, as they are in the repository.
func TestThePageIsInTheBinary(t *testing.T) {
	var files []string
	err := filepath.WalkDir("../public", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, "../public/"))
		}
		return err
	})
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		want, err := os.ReadFile("../public/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fs.ReadFile(ssechat.Page{}, file); err != nil || string(got) != string(want) {
			t.Errorf("%s differs: %v", file, err)
		}
	}
	if err := fstest.TestFS(ssechat.Page{}, files...); err != nil {
		t.Error(err)
	}
	if _, err := (ssechat.Page{}).Open("../page.go"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("outside of the page: %v", err)
	}
	if _, err := (ssechat.Page{}).Open("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// Browsers need to ask only whether the page has changed.
func TestThePageIsRevalidated(t *testing.T) {
	s := caddytest.ServeSites(t, "filesystem chat sse_chat\n", "sse_chat\nfile_server {\nfs chat\n}")
	page := s.Sites[0]
	etags := make(map[string]string)
	for _, path := range []string{"/", "/script.js", "/style.css"} {
		a := page.Do(t, http.MethodGet, path, "")
		etag, modified := a.Header.Get("Etag"), a.Header.Get("Last-Modified")
		if a.Status != http.StatusOK || etag == "" || modified == "" {
			t.Fatalf("%s: %d %v", path, a.Status, a.Header)
		}
		if at, err := http.ParseTime(modified); err != nil || at.After(time.Now()) {
			t.Errorf("%s: last modified %s", path, modified)
		}
		for _, field := range []string{"If-None-Match: " + etag, "If-Modified-Since: " + modified} {
			if a := page.Do(t, http.MethodGet, path, "", field); a.Status != http.StatusNotModified || a.Body != "" {
				t.Errorf("%s with %s: %d", path, field, a.Status)
			}
		}
		if a := page.Do(t, http.MethodGet, path, "", `If-None-Match: "other"`); a.Status != http.StatusOK || a.Body == "" {
			t.Errorf("%s with another ETag: %d", path, a.Status)
		}
		etags[etag] = path
	}
	if len(etags) != 3 {
		t.Errorf("files share an ETag: %v", etags)
	}
}

// Files are read as file_server reads them: from anywhere, again and again.
func TestAPageFileCanSeek(t *testing.T) {
	file, err := (ssechat.Page{}).Open("index.html")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.(io.Seeker).Seek(1, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if again, err := io.ReadAll(file); err != nil || string(again) != string(content[1:]) {
		t.Errorf("%q, %v", again, err)
	}
}
