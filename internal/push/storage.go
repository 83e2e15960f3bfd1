package push

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"regexp"
	"time"
)

// Storage is what is used of Caddy's storage, a certmagic.Storage, which all nodes share.
// Load and List return an error that wraps [io/fs.ErrNotExist] where there is nothing.
type Storage interface {
	Lock(ctx context.Context, name string) error
	Unlock(ctx context.Context, name string) error
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

// storageLimit is how long a request waits for the storage.
const storageLimit = 10 * time.Second

// isSame reports whether two storages are one.
func isSame(a, b Storage) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.TypeOf(a).Comparable() && a == b
}

var plainName = regexp.MustCompile(`^[a-z0-9_-]+$`)

// folderOf returns the folder of a hub, a valid name in any file system.
func folderOf(hub string) string {
	if plainName.MatchString(hub) {
		return hub
	}
	sum := sha256.Sum256([]byte(hub))
	return "hub." + hex.EncodeToString(sum[:16])
}

// turn is a lock that can be waited for within a time limit, because its holder waits for a
// storage.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn. The error is that ctx has ended.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }
