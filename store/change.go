package store

import (
	"errors"
	"fmt"
	"slices"
)

// ChangeKind is what a [Change] does.
type ChangeKind uint8

// The kinds of changes.
const (
	Edit    ChangeKind = iota // replaces the text, the data, or both
	Append                    // adds to the text
	React                     // adds a reaction
	Unreact                   // takes a reaction back
	Delete                    // deletes the message
)

// ChangeKinds are the kinds of changes to a message, by name.
var ChangeKinds = []string{Edit: "edit", Append: "append", React: "react", Unreact: "unreact", Delete: "delete"}

// String returns the name of the kind.
func (k ChangeKind) String() string { return ChangeKinds[k] }

// parts returns what a change that is no deletion changes.
func (c *Change) parts() (p parts) {
	switch c.Kind {
	case React, Unreact:
		return reactionsPart
	case Append:
		return textPart
	default:
		if c.HasText {
			p |= textPart
		}
		if c.Data != "" {
			p |= dataPart
		}
		return p
	}
}

// Change is what somebody wants to change in a message.
type Change struct {
	Kind ChangeKind
	// By is who makes the change.
	By Owner
	// Moderator is set for who may change the messages of others, too.
	Moderator bool
	// Nonce identifies repeats: a second change of the same message with the nonce of
	// an earlier one, by the same owner, has no effect. Empty for none.
	Nonce string
	// Barred reports whether the author of a name may not publish now; nil if all may.
	Barred func(name string) bool
	// Text is the new text, what is added to it, or the kind of reaction.
	Text string
	// HasText is set if an edit replaces the text, and not only the data.
	HasText bool
	// Data is what an edit replaces the data by, or empty to leave it as it is.
	Data string
	// MaxText is the limit of [Draft.CheckLength].
	MaxText int
	// DryRun is set to learn what would become of the change: a repeat's receipt, or why
	// it is refused. Then nothing is changed, and the nonce stays unused.
	DryRun bool
}

const (
	// MaxReactionKinds is how many kinds of reactions a message may have.
	MaxReactionKinds = 20
	// MaxReactions is how many reactions a message may have, of all kinds together.
	MaxReactions = 1000
)

var (
	// ErrNotYours is returned for a change by somebody who may not make it.
	ErrNotYours = errors.New("only its author can change a message")
	// ErrNobody is returned for a reaction by nobody in particular.
	ErrNobody = errors.New("who reacts needs a name from the configuration or an author's key")
	// ErrBarred is returned for a change of the text of an author who may not publish now.
	ErrBarred = errors.New("the author may not publish now")
	// ErrTooLong is returned for a text that is too long.
	ErrTooLong = errors.New("too long")
	// ErrManyReactions is returned for a reaction beyond the limits of a message.
	ErrManyReactions = fmt.Errorf("a message has at most %d kinds of reactions, and %d in all", MaxReactionKinds, MaxReactions)
)

// IsRefusal reports whether an error means that a change is not allowed, rather than
// that the store has failed.
func IsRefusal(err error) bool {
	for _, refusal := range []error{ErrNotFound, ErrNotYours, ErrNobody, ErrBarred, ErrTooLong, ErrManyReactions} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// Check returns [ErrNotYours] or [ErrNobody] if the change may not be made to a message
// of an owner.
func (c *Change) Check(owner Owner) error {
	switch {
	case c.Kind == React || c.Kind == Unreact:
		if c.By == "" {
			return ErrNobody
		}
	case !c.Moderator && (c.By == "" || c.By != owner):
		return ErrNotYours
	}
	return nil
}

// Apply makes the change, which must not be a deletion, in a post. at is the revision.
// It reports false if nothing has changed, as when somebody reacts twice. It returns the
// errors of Check, [ErrBarred], [ErrTooLong] or [ErrManyReactions], and changes nothing then. The
// post must share its reactions with nothing.
func (c *Change) Apply(p *Post, at ID) (bool, error) {
	if err := c.Check(p.Owner); err != nil {
		return false, err
	}
	var changed bool
	var err error
	switch c.Kind {
	case React:
		changed, err = p.react(c.Text, c.By)
	case Unreact:
		changed = p.unreact(c.Text, c.By)
	default:
		changed, err = true, c.write(p)
		if err == nil {
			p.Edited = at.Ms
		}
	}
	if err != nil || !changed {
		return false, err
	}
	p.Revision = at
	return true, nil
}

// write changes the text and the data.
func (c *Change) write(p *Post) error {
	if c.Barred != nil && !c.Moderator && c.Barred(p.Name) {
		return ErrBarred
	}
	draft := p.Draft
	switch {
	case c.Kind == Append:
		draft.Text += c.Text
	case c.HasText:
		draft.Text = c.Text
	}
	if c.Data != "" {
		draft.Data = c.Data
	}
	if err := draft.CheckLength(c.MaxText); err != nil {
		return err
	}
	p.Draft = draft
	return nil
}

// react adds a reaction, and reports whether it is new.
func (p *Post) react(kind string, by Owner) (bool, error) {
	total := 0
	at := -1
	for i, r := range p.Reactions {
		total += len(r.By)
		if r.Kind == kind {
			at = i
		}
	}
	if at >= 0 && slices.Contains(p.Reactions[at].By, by) {
		return false, nil
	}
	if total >= MaxReactions || at < 0 && len(p.Reactions) >= MaxReactionKinds {
		return false, ErrManyReactions
	}
	if at < 0 {
		at = len(p.Reactions)
		p.Reactions = append(p.Reactions, Reaction{Kind: kind})
	}
	p.Reactions[at].By = append(p.Reactions[at].By, by)
	return true, nil
}

// unreact removes a reaction, and reports whether there was one.
func (p *Post) unreact(kind string, by Owner) bool {
	for i := range p.Reactions {
		r := &p.Reactions[i]
		if r.Kind != kind {
			continue
		}
		j := slices.Index(r.By, by)
		if j < 0 {
			return false
		}
		if r.By = slices.Delete(r.By, j, j+1); len(r.By) == 0 {
			p.Reactions = slices.Delete(p.Reactions, i, i+1)
		}
		return true
	}
	return false
}
