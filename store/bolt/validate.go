package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// validating reports whether this process only checks a configuration, like
// `caddy validate` and `caddy adapt --validate`. They provision modules as a start
// does, and Caddy offers modules no other way to know.
func validating() bool {
	return len(os.Args) > 1 && (os.Args[1] == "validate" || os.Args[1] == "adapt")
}

// tryOpen returns an error if a hub could not open its file. It changes nothing: a
// file created by root could not be opened by the service's own user. It is no
// error if another process has the file open, because that may be the running
// Caddy whose configuration is checked.
func tryOpen(path, hub string) error {
	if err := tryFile(path, hub); err != nil {
		return fmt.Errorf("store %s: %w", path, err)
	}
	return nil
}

func tryFile(path, hub string) error {
	inUse.mu.Lock()
	defer inUse.mu.Unlock()
	disk, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := usedHere(path, nil, hub); err != nil {
			return err
		}
		inUse.files[&file{path: path}] = hub
		return tryFolder(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	defer disk.Close()
	info, err := disk.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errNotRegular
	}
	if err := usedHere(path, info, hub); err != nil {
		return err
	}
	inUse.files[&file{path: path, info: info}] = hub
	if info.Size() == 0 {
		return nil
	}
	// a file that another process writes to may look damaged
	if _, err := check(disk, info.Size()); err != nil && lock(disk) == nil {
		return err
	}
	return nil
}

// tryFolder returns an error if a file could not be created in a folder.
func tryFolder(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", folder)
	}
	return writable(folder)
}
