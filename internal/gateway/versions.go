package gateway

import (
	"context"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// Version is a version of the contract that is served beside contract.SchemaVersion. It may have more
// optional elements in requests, and nothing else that is new.
type Version struct {
	// Schema is the validator's number of its schema.
	Schema validator.Schema
	// Events reads, judges and maps its events.
	Events *sinba.Catalogue
}

// validateVersion judges a message by the schema of the version that it declares. Which that is the
// first schema tells: whoever declares none, or the first, is judged once, and as if there were no
// other.
func (g *Gateway) validateVersion(ctx context.Context, x *exchange) (validator.Result, error) {
	sender := validator.Sender(x.participant.ID)
	verdict, err := g.Validator.ValidateFor(ctx, sender, validator.SinbaEventi, validator.Envelope, x.body)
	x.schema = contract.SchemaVersion
	later, ok := x.reference.Versions[verdict.Version]
	if err != nil || !ok {
		return verdict, err
	}
	x.schema = verdict.Version
	return g.Validator.ValidateFor(ctx, sender, later.Schema, validator.Envelope, x.body)
}

// serves refuses what declares another version than the message was judged by. The events of a lot
// are of the lot's version.
func (x *exchange) serves(declared, root string) error {
	if declared != "" && declared != x.schema {
		return refuse(hub.Invalid, hub.CodeVersion, root+"/@versione")
	}
	return nil
}

// catalogue reads, judges and maps events of the version that the message was judged by.
func (x *exchange) catalogue() *sinba.Catalogue {
	if later, ok := x.reference.Versions[x.schema]; ok {
		return later.Events
	}
	return x.reference.Events
}
