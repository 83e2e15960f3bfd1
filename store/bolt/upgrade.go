package bolt

import (
	"errors"

	"go.etcd.io/bbolt"
)

// oldFormat is the format of versions in which messages could not change. Its records
// of messages, nonces, rooms and the log can still be decoded, and are replaced when
// they change.
const oldFormat = 1

// upgrade makes a file of the format of this version from one of oldFormat, in one
// transaction. An older version refuses the file from then on.
func (s *Store) upgrade(log *logRecord) error {
	// older versions did not overwrite what was deleted
	log.erase = true
	return protect(func() error {
		return s.file.db.Update(func(tx *bbolt.Tx) error { return putLog(tx, log) })
	})
}

// putLog writes the log's record and the format.
func putLog(tx *bbolt.Tx, log *logRecord) error {
	b := tx.Bucket(logBucket)
	return errors.Join(b.Put(formatKey, seal(formatKey, []byte{format})), b.Put(logKey, seal(logKey, log.encode())))
}
