package main

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/ticket"
)

// TestEveryPurposeIsTold wants each purpose of a ticket in the help and in the operators' synopsis.
func TestEveryPurposeIsTold(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../deploy/docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	field, _ := reflect.TypeFor[ticketNewCmd]().FieldByName("Purpose")
	help := strings.FieldsFunc(field.Tag.Get("help"), func(r rune) bool { return r < 'a' || r > 'z' })
	scope, _ := reflect.TypeFor[ticketNewCmd]().FieldByName("Scope")
	for _, p := range ticket.Purposes() {
		word := string(p)
		if !strings.Contains(" "+strings.Join(help, " ")+" ", " "+word+" ") || !strings.Contains(scope.Tag.Get("help"), word) {
			t.Errorf("ticket new --help does not have %s", word)
		}
		if !strings.Contains(string(guide), "`"+word+" ") {
			t.Errorf("operations.md does not have the scope of %s", word)
		}
	}
}
