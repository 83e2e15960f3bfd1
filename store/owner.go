package store

import "strings"

// Owner says whose a message is, and as whom somebody acts: nobody in particular (""),
// a name that the configuration gives, or the holder of an author's key. Only the
// owner of a message may change it. An owner is never sent to readers.
type Owner string

const (
	ownedByName = "name:"
	ownedByKey  = "key:"
)

// OwnerByName returns the owner with a name that the configuration gives, which must
// not be empty.
func OwnerByName(name string) Owner { return Owner(ownedByName + name) }

// OwnerByKey returns the owner with an author's key, by the key's hash: base64url of
// SHA-256, without padding.
func OwnerByKey(hash string) Owner { return Owner(ownedByKey + hash) }

// tagLen is the length of an author's tag.
const tagLen = 11

// Tag returns the tag by which readers recognize the holder of an author's key, the
// first 11 characters of the key's hash, or "" for other owners.
func (o Owner) Tag() string {
	hash, ok := strings.CutPrefix(string(o), ownedByKey)
	if !ok || len(hash) < tagLen {
		return ""
	}
	return hash[:tagLen]
}

// Shown returns how readers see the owner: by name, or else by tag.
func (o Owner) Shown() string {
	if name, ok := strings.CutPrefix(string(o), ownedByName); ok {
		return name
	}
	return o.Tag()
}
