package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// slack is how many messages of each room the stream keeps at least, even if readers
// can see fewer, so that a node that lags a little misses none.
const slack = 100

// physical returns how many messages of each room the stream keeps. It is at least
// one more than readers can see: from that one a node knows what they have missed.
func physical(limits store.Limits) int { return max(limits.Count+1, slack) }

// config is the configuration of a store.
type config struct {
	server
	stream   string
	replicas int // 0 accepts any number, and creates a stream with 1
}

// configError is an error that persists until the configuration of this module or of
// NATS is changed.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }

// streamConfig returns the configuration of the stream for limits.
func (c *config) streamConfig(limits store.Limits) jetstream.StreamConfig {
	to := subjectsOf(c.stream)
	return jetstream.StreamConfig{
		Name:               c.stream,
		Description:        "chat messages of caddy-sse-chat",
		Subjects:           []string{to.rooms(), to.changes(), to.revisions()},
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardOld,
		Storage:            jetstream.FileStorage,
		Replicas:           max(1, c.replicas),
		MaxMsgsPerSubject:  int64(physical(limits)),
		MaxMsgs:            -1,
		MaxBytes:           -1,
		MaxMsgSize:         -1,
		MaxConsumers:       -1,
		MaxAge:             limits.Age,
		Duplicates:         nonceWindow(limits),
		AllowDirect:        true,
		AllowRollup:        true,
		AllowAtomicPublish: true, // servers before 2.12 ignore it
	}
}

// nonceWindow returns how long the stream knows a nonce. NATS allows no more than the
// messages' age.
func nonceWindow(limits store.Limits) time.Duration {
	if limits.Age == 0 {
		return store.NonceLife
	}
	return min(store.NonceLife, limits.Age)
}

// create returns the stream, and creates it if it does not exist.
func (s *Store) create(ctx context.Context, limits store.Limits) (jetstream.Stream, error) {
	if err := s.checkServer(); err != nil {
		return nil, err
	}
	stream, err := s.js.Stream(ctx, s.config.stream)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return stream, s.streamError(err)
	}
	stream, err = s.js.CreateStream(ctx, s.config.streamConfig(limits))
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		stream, err = s.js.Stream(ctx, s.config.stream) // another node has created it
	}
	return stream, s.streamError(err)
}

// admit returns the stream after it has checked its configuration. It makes one of an
// early version, in which no message could be changed, accept revisions. Nodes of those
// versions ignore these.
func (s *Store) admit(ctx context.Context, stream jetstream.Stream, limits store.Limits) (jetstream.Stream, error) {
	now, want := stream.CachedInfo().Config, s.config.streamConfig(limits)
	upgraded := now
	if slices.Equal(now.Subjects, want.Subjects[:len(want.Subjects)-1]) {
		upgraded.Subjects = want.Subjects
	}
	upgraded.AllowRollup = true
	if err := s.checkConfig(upgraded, limits); err != nil {
		return nil, err
	}
	if now.AllowRollup && len(now.Subjects) == len(upgraded.Subjects) {
		return stream, nil
	}
	updated, err := s.js.UpdateStream(ctx, upgraded)
	if err != nil {
		return nil, s.streamError(err)
	}
	s.logger.Info("the stream of an earlier version takes changes of messages now", zap.String("stream", s.config.stream))
	return updated, nil
}

// leaderLife is how long a leader that the other replicas do not hear from is certain
// to be the only one. They wait for 4 s before they elect another.
const leaderLife = 3 * time.Second

// stream returns the stream's state from its leader. It returns errCutOff if that
// server is cut off from the other replicas: it still takes itself for the leader for
// a while, but does not know what its successor has stored.
func (s *Store) stream(ctx context.Context) (jetstream.Stream, error) {
	stream, err := s.handle(ctx)
	if err != nil {
		return nil, s.streamError(err)
	}
	if !leads(stream.CachedInfo().Cluster) {
		return nil, errCutOff
	}
	return stream, nil
}

// handle returns the stream's state from the server that takes itself for its leader.
func (s *Store) handle(ctx context.Context) (jetstream.Stream, error) {
	return call(ctx, s, func() (jetstream.Stream, error) { return s.js.Stream(ctx, s.config.stream) })
}

// leads reports whether the server that has returned cluster is in touch with a
// majority of the replicas.
func leads(cluster *jetstream.ClusterInfo) bool {
	if cluster == nil || len(cluster.Replicas) == 0 {
		return true
	}
	inTouch := 1
	for _, r := range cluster.Replicas {
		if !r.Offline && r.Active > 0 && r.Active < leaderLife {
			inTouch++
		}
	}
	return 2*inTouch > 1+len(cluster.Replicas)
}

var errCutOff = errors.New("the NATS server that leads the stream is cut off from the others")

// checkServer returns an error if the server is too old.
func (s *Store) checkServer() error {
	var major, minor int
	version := s.nc.ConnectedServerVersion()
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return nil //nolint:nilerr // not connected: the next request returns that error
	}
	switch {
	case major == 2 && minor < 9:
		return configError{fmt.Errorf("NATS %s is too old: 2.9 is needed", version)}
	case major == 2 && minor < 11 && s.config.replicas > 1:
		return configError{fmt.Errorf("NATS %s is too old for replicas: up to 2.10 a change of leader may lose messages; 2.11 is needed", version)}
	}
	return nil
}

// streamError names the stream in an error, and makes it a configError if retrying is
// useless.
func (s *Store) streamError(err error) error {
	if err == nil {
		return nil
	}
	err = s.explain(err)
	if errors.Is(err, nats.ErrNoResponders) {
		err = fmt.Errorf("%w: %w", jetstream.ErrJetStreamNotEnabled, err)
	}
	if errors.Is(err, errForbidden) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return configError{fmt.Errorf("stream %s: %w", s.config.stream, err)}
	}
	// the server rejects the request itself, for example too many replicas
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && (api.Code == 400 || api.Code == 500) && api.ErrorCode != noQuorum && api.ErrorCode != noPeers {
		return configError{fmt.Errorf("stream %s: %w", s.config.stream, err)}
	}
	return fmt.Errorf("stream %s: %w", s.config.stream, err)
}

// Errors of a cluster that is still starting.
const (
	noPeers  jetstream.ErrorCode = 10005
	noQuorum jetstream.ErrorCode = 10008
)

// checkConfig returns an error if the stream has another configuration than it should.
func (s *Store) checkConfig(got jetstream.StreamConfig, limits store.Limits) error {
	want := s.config.streamConfig(limits)
	var wrong []string
	differ := func(what string, got, want any) {
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s is %v and should be %v", what, got, want))
		}
	}
	differ("max_msgs_per_subject", got.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	differ("max_age", got.MaxAge, want.MaxAge)
	differ("max_msgs", got.MaxMsgs, want.MaxMsgs)
	differ("max_bytes", got.MaxBytes, want.MaxBytes)
	differ("the duplicate window", got.Duplicates, want.Duplicates)
	differ("the retention", got.Retention, want.Retention)
	differ("the discard policy", got.Discard, want.Discard)
	differ("allow_direct", got.AllowDirect, want.AllowDirect)
	differ("allow_rollup_hdrs", got.AllowRollup, want.AllowRollup)
	differ("the subjects", strings.Join(got.Subjects, " "), strings.Join(want.Subjects, " "))
	if s.config.replicas > 0 {
		differ("num_replicas", got.Replicas, want.Replicas)
	}
	if wrong == nil {
		return nil
	}
	return configError{fmt.Errorf("stream %s: %s; make the options of all nodes equal, or edit the stream with the nats tool", s.config.stream, strings.Join(wrong, ", "))}
}

// update changes the stream's configuration to limits.
func (s *Store) update(ctx context.Context, limits store.Limits) error {
	stream, err := s.js.Stream(ctx, s.config.stream)
	if err != nil {
		return s.streamError(err)
	}
	now := stream.CachedInfo().Config
	changed := now
	changed.MaxMsgsPerSubject, changed.MaxAge, changed.Duplicates = int64(physical(limits)), limits.Age, nonceWindow(limits)
	if changed.MaxMsgsPerSubject == now.MaxMsgsPerSubject && changed.MaxAge == now.MaxAge {
		return nil
	}
	// first tell all nodes that a room that is not full may have been full before
	if err := s.publishChange(ctx, change{Limited: true}); err != nil {
		return err
	}
	if _, err = s.js.UpdateStream(ctx, changed); err == nil {
		s.mu.Lock()
		s.physical = int(changed.MaxMsgsPerSubject)
		s.mu.Unlock()
	}
	return s.streamError(err)
}
