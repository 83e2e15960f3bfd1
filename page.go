package ssechat

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() {
	caddy.RegisterModule(Page{})
}

//go:embed public
var public embed.FS

// Page is the chat's page as a file system inside the binary, so a site needs
// no folder for it:
//
//	{
//		filesystem chat sse_chat
//	}
//
//	chat.example.com {
//		sse_chat
//		file_server {
//			fs chat
//		}
//	}
type Page struct{}

// CaddyModule returns the Caddy module information.
func (Page) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.fs.sse_chat",
		New: func() caddy.Module { return new(Page) },
	}
}

// UnmarshalCaddyfile sets up the file system from Caddyfile tokens. Syntax:
//
//	filesystem <name> sse_chat
func (*Page) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the file system's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		return d.Errf("unrecognized subdirective '%s': the file system sse_chat has no options", d.Val())
	}
	return nil
}

// Open implements [fs.FS]. Any goroutine may call it at any time.
func (Page) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	name = path.Join("public", name)
	file, err := public.Open(name)
	if err != nil {
		return nil, err
	}
	if folder, ok := file.(fs.ReadDirFile); ok {
		return &pageFolder{folder, name}, nil
	}
	return &pageFile{file.(embedded), name}, nil
}

// embedded is what embedded files implement and file_server needs.
type embedded interface {
	fs.File
	io.ReadSeeker
}

// pageFile is a file of the page. Embedded files have no modification time, without
// which browsers could not revalidate them.
type pageFile struct {
	embedded
	path string
}

// Stat implements [fs.File].
func (f *pageFile) Stat() (fs.FileInfo, error) {
	info, err := f.embedded.Stat()
	return pageInfo{info, f.path}, err
}

type pageFolder struct {
	fs.ReadDirFile
	path string
}

// ReadDir implements [fs.ReadDirFile].
func (f *pageFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := f.ReadDirFile.ReadDir(n)
	for i := range entries {
		entries[i] = pageEntry{entries[i], path.Join(f.path, entries[i].Name())}
	}
	return entries, err
}

type pageEntry struct {
	fs.DirEntry
	path string
}

// Info implements [fs.DirEntry].
func (e pageEntry) Info() (fs.FileInfo, error) {
	info, err := e.DirEntry.Info()
	return pageInfo{info, e.path}, err
}

type pageInfo struct {
	fs.FileInfo
	path string
}

// ModTime implements [fs.FileInfo].
func (i pageInfo) ModTime() time.Time { return pageTimes()[i.path] }

// pageTimes returns the modification time of each file: the build time of the
// binary, with a hash of the file's content in the nanoseconds, which are part of
// file_server's ETag.
var pageTimes = sync.OnceValue(func() map[string]time.Time {
	built := int64(2) // file_server takes 0 and 1 for no time
	if exe, err := os.Executable(); err == nil {
		if info, err := os.Stat(exe); err == nil {
			built = max(built, info.ModTime().Unix())
		}
	}
	times := make(map[string]time.Time)
	_ = fs.WalkDir(public, "public", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := public.ReadFile(name)
		sum := sha256.Sum256(content)
		times[name] = time.Unix(built, int64(binary.BigEndian.Uint64(sum[:])%1e9))
		return err
	})
	return times
})

// Interface guards
var (
	_ fs.FS                 = Page{}
	_ caddyfile.Unmarshaler = (*Page)(nil)
)
