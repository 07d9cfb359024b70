package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sinbahub/sinbahub/pkg/client"
)

// keep stands for the vendor's own database.
func keep(*client.Receipt) {}

// Example sends an event, shows what to do with each outcome, and asks where it stands.
func Example() {
	hub := exampleHub() // in earnest, the address and credential that the region gave you
	defer hub.Close()
	c, err := client.New(client.Config{URL: hub.URL, User: "aster", Password: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	receipt, err := c.InviaEvento(ctx, []byte(event))
	if errors.Is(err, client.ErrReceipt) {
		fmt.Println("stored, but perhaps not what was sent: tell the region")
		return
	}
	if client.Temporary(err) {
		fmt.Println("nothing is known: send the same bytes again later")
		return
	}
	if refused, ok := errors.AsType[*client.FaultError](err); ok {
		for _, v := range refused.Anomalie {
			fmt.Println(v.Codice, v.Posizione, v.Riga, v.Descrizione)
		}
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	keep(receipt) // with the document: together they prove what was acknowledged
	fmt.Println(receipt.Esito, receipt.IDRicevuta)

	state, err := c.StatoEvento(ctx, client.StateQuery{IDRicevuta: receipt.IDRicevuta})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(state.Stato, state.ProtocolloNazionale)
	// Output:
	// ACCETTATO 01900000-0000-7000-8000-000000000001
	// CONFERMATO SISS-1
}

// ExampleClient_VerificaEvento asks what would become of an event, with every violation at once.
func ExampleClient_VerificaEvento() {
	hub := exampleHub()
	defer hub.Close()
	c, err := client.New(client.Config{URL: hub.URL, User: "aster", Password: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := c.VerificaEvento(context.Background(), []byte(`<VerificaEventoRichiesta xmlns="urn:sinba:eventi:v1"/>`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Conforme, report.EsitoPrevisto)
	for _, v := range report.Anomalie {
		fmt.Println(v.Codice, v.Posizione)
	}
	// Output:
	// false RIFIUTATO
	// SINBA_201 /VerificaEventoRichiesta
}
