package bolt

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// A backup is consistent, even if all pages of the file change while it is made.
func TestBackupsOfABusyFile(t *testing.T) {
	path := filepath.Join(fastDir(t), "chat.db")
	s := openAt(t, path, new(storetest.Hub), store.Limits{Count: 20, Rooms: 100})
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		drafts := make([]store.Draft, 30)
		for i := 0; ; i++ {
			for j := range drafts {
				drafts[j] = store.Draft{Text: strings.Repeat(string(rune('a'+i%26)), i*j%3000)}
			}
			storetest.MustAppend(t, s, fmt.Sprint("r", i%10), drafts...)
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	defer publishing.Wait()
	defer close(stop)
	for range 60 {
		if complete, err := checkCopy(s.file); err != nil || !complete {
			t.Fatalf("a backup is found whole: %v, %v", complete, err)
		}
	}
}

func checkCopy(f *file) (complete bool, err error) {
	backup, err := f.copy(context.Background())
	if err != nil {
		return false, err
	}
	defer backup.close()
	info, err := backup.Stat()
	if err != nil {
		return false, err
	}
	return check(backup, info.Size())
}
