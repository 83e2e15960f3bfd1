//go:build windows || plan9 || solaris || aix || android

package bolt

import "os"

// lock does nothing: bbolt takes the lock.
func lock(*os.File) error { return nil }

// writable does nothing: the first write fails.
func writable(string) error { return nil }
