package authn_test

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sinbahub/sinbahub/internal/authn"
	"github.com/sinbahub/sinbahub/internal/hub"
)

func TestBasicFindsTheParticipantOrRefuses(t *testing.T) {
	t.Parallel()
	registry := authn.NewRegistry([]authn.Credential{
		{User: "aster", PasswordSHA256: sha256.Sum256([]byte("right")), Participant: hub.Participant{ID: 7, Name: "aster"}},
	})
	cases := []struct {
		name           string
		user, password string
		header         string
		want           int32
	}{
		{name: "right", user: "aster", password: "right", want: 7},
		{name: "wrong password", user: "aster", password: "wrong"},
		{name: "empty password", user: "aster"},
		{name: "unknown user", user: "sili", password: "right"},
		{name: "unknown user whose digest would be all zero", user: "sili", password: ""},
		{name: "no header", header: "-"},
		{name: "another scheme", header: "Bearer right"},
		{name: "not base64", header: "Basic %%%"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
			switch c.header {
			case "":
				r.SetBasicAuth(c.user, c.password)
			case "-":
			default:
				r.Header.Set("Authorization", c.header)
			}
			p, err := registry.Basic(r)
			if c.want != 0 {
				if err != nil || p.ID != c.want {
					t.Errorf("got %v %v", p, err)
				}
				return
			}
			var refusal *hub.Error
			if !errors.As(err, &refusal) || refusal.Kind != hub.Unauthenticated {
				t.Errorf("got %v %v, want Unauthenticated", p, err)
			}
		})
	}
}

func TestReplaceTakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	registry := authn.NewRegistry(nil)
	r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	r.SetBasicAuth("a", "b")
	if _, err := registry.Basic(r); err == nil {
		t.Error("an empty registry let somebody in")
	}
	registry.Replace([]authn.Credential{{User: "a", PasswordSHA256: sha256.Sum256([]byte("b"))}})
	if _, err := registry.Basic(r); err != nil {
		t.Error(err)
	}
	registry.Replace(nil)
	if _, err := registry.Basic(r); err == nil {
		t.Error("a removed credential still opens")
	}
}
