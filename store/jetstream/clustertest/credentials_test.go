package clustertest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/sse-chat/caddy-sse-chat/store"
	"github.com/sse-chat/caddy-sse-chat/store/jetstream"
	"github.com/sse-chat/caddy-sse-chat/store/storetest"
)

// identity is a key pair with its public half.
type identity struct {
	nkeys.KeyPair
	public string
}

func newIdentity(t *testing.T, create func() (nkeys.KeyPair, error)) identity {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return identity{pair, public}
}

// credentials writes the file with which a user of an account logs in.
func credentials(t *testing.T, account identity, change func(*jwt.UserClaims)) string {
	t.Helper()
	user := newIdentity(t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(user.public)
	if change != nil {
		change(claims)
	}
	token, err := claims.Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	content, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCredentials has a server with an operator, who trusts accounts, who trust
// users.
func TestCredentials(t *testing.T) {
	operator := newIdentity(t, nkeys.CreateOperator)
	system, chat, stranger := newIdentity(t, nkeys.CreateAccount), newIdentity(t, nkeys.CreateAccount), newIdentity(t, nkeys.CreateAccount)
	accounts := new(server.MemAccResolver)
	for _, account := range []identity{system, chat} {
		claims := jwt.NewAccountClaims(account.public)
		if account == chat {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
				MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxAckPending: jwt.NoLimit,
			}
		}
		token, err := claims.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		if err := accounts.Store(account.public, token); err != nil {
			t.Fatal(err)
		}
	}
	trusted := jwt.NewOperatorClaims(operator.public)
	trusted.SystemAccount = system.public
	nats := single(t, func(o *server.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{trusted}
		o.AccountResolver, o.SystemAccount = accounts, system.public
	})

	module := &jetstream.Module{URLs: urls(nats), Stream: newStream(), Credentials: credentials(t, chat, nil)}
	s := open(t, module, new(storetest.Hub), few)
	id := storetest.MustAppend(t, s, "r", storetest.Text("x"))[0].ID
	other := open(t, &jetstream.Module{URLs: urls(nats), Stream: module.Stream, Credentials: credentials(t, chat, func(c *jwt.UserClaims) {
		// no more than what the documentation asks for
		c.Pub.Allow.Add("$JS.API.>", "sse_chat.>")
		c.Sub.Allow.Add("_INBOX.>", "sse_chat.>")
	})}, new(storetest.Hub), few)
	own := storetest.MustAppend(t, other, "r", storetest.Text("y"))[0].ID
	if err := other.Delete(t.Context(), own); err != nil {
		t.Error(err)
	}
	if err := other.(store.Relay).Tell([]byte("x")); err != nil {
		t.Error(err)
	}
	if ids, _ := readAll(t, other, store.ID{}, "r"); !slices.Equal(ids, []store.ID{id}) {
		t.Errorf("another user of the account reads %v, want %v", ids, id)
	}

	for _, test := range []struct{ name, file, want string }{
		{"none", "", "Authorization Violation"},
		{"of a stranger", credentials(t, stranger, nil), "Authorization Violation"},
		{"that have expired", credentials(t, chat, func(c *jwt.UserClaims) { c.Expires = time.Now().Add(-time.Minute).Unix() }), "Authorization Violation"},
		{"that may do nothing", credentials(t, chat, func(c *jwt.UserClaims) { c.Pub.Allow.Add("nothing") }), "does not permit"},
		{"that are none", module.Credentials + ".not", "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := (&jetstream.Module{URLs: urls(nats), Stream: module.Stream, Credentials: test.file}).Open("test", new(storetest.Hub), few)
			if err == nil {
				_ = s.Close()
				t.Fatal("the store opened")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %q, want %q in it", err, test.want)
			}
		})
	}
}
