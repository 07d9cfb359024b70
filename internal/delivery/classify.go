package delivery

import (
	"net/http"
	"time"

	"github.com/google/uuid"
)

// Result is what an attempt came to. It labels hub_attempts_total.
type Result string

// The results. Parked is never an answer's: the national event could not be made or does not
// conform to its schema.
const (
	Delivered Result = "delivered"
	Refused   Result = "refused"
	Retry     Result = "retry"
	Uncertain Result = "uncertain"
	Parked    Result = "parked"
)

// Results lists all of them, for metrics that must show zeroes.
func Results() []Result { return []Result{Delivered, Refused, Retry, Uncertain, Parked} }

// Answer is what came back from SISS, as far as it is trusted: Status is the proxy's or the
// server's word; Root and what follows were read from canonical bytes that the jail found valid
// against the national schema, or are those of a plain receipt.
type Answer struct {
	// Sent says that some of the request was written, so that SISS may have it. Without it nothing
	// left this machine.
	Sent bool
	// Late says that the request, or the rest of it, was kept back because its lease was over.
	Late bool
	// Status is the HTTP status, 0 if no whole answer arrived within the limits.
	Status int
	// RetryAfter is what the answer asks for, 0 if nothing.
	RetryAfter time.Duration
	// Root is the local name of the Body's child if the answer is a SOAP 1.2 message of the
	// contract ("Fault" for a fault with ErroreSiss), else empty.
	Root string
	// ID is the IdTrasmissione the answer names.
	ID uuid.UUID
	// Esito is the contract's word.
	Esito string
	// Protocol is ProtocolloNazionale.
	Protocol string
	// Codes are those of the violations, or the fault's.
	Codes []string
	// Totals are the rows of riepilogo.
	Totals []Total
}

// Verdict is what an answer means for the delivery.
type Verdict struct {
	Result Result
	// Protocol is ProtocolloNazionale of what was delivered.
	Protocol string
	// Codes say why it was not, from a closed list or SISS's SISS_nnn.
	Codes []string
	// Answered says that the endpoint spoke as the contract wants, whatever it said.
	Answered bool
}

// The reasons Classify gives where SISS gave no code.
const (
	reasonNotSent     = "not_sent"
	reasonNoAnswer    = "no_answer"
	reasonNotContract = "not_the_contract"
	reasonOtherID     = "other_id"
	reasonContradicts = "contradiction"
	reasonUnknown     = "unknown_to_siss"
)

// receipt is the element that answers trasmettiEvento.
const receipt = "TrasmettiEventoRisposta"

// Classify judges the answer to trasmettiEvento for the given IdTrasmissione. It is a pure
// function, and it errs on the safe side: delivered and refused only for an answer that agrees
// with itself, the status and the question in everything; retry only where the request was
// certainly not taken (nothing was sent, a fault of the contract, which promises that nothing
// was recorded, or a status that says so); all else is uncertain.
func Classify(id uuid.UUID, a Answer) Verdict {
	if v, done := common(id, a, receipt); done {
		return v
	}
	switch {
	case (a.Esito == "ACCETTATO" || a.Esito == "GIA_RICEVUTO") && a.Protocol != "" && len(a.Codes) == 0:
		return Verdict{Result: Delivered, Protocol: a.Protocol, Answered: true}
	case a.Esito == "RIFIUTATO" && a.Protocol == "" && len(a.Codes) > 0:
		return Verdict{Result: Refused, Codes: a.Codes, Answered: true}
	}
	return Verdict{Result: Uncertain, Codes: []string{reasonContradicts}}
}

// ClassifyState judges the answer to statoTrasmissione. Retry means that SISS does not have the
// event, so that it may be sent now; whatever does not say so clearly leaves it uncertain.
func ClassifyState(id uuid.UUID, a Answer) Verdict {
	v, done := common(id, a, "StatoTrasmissioneRisposta")
	if done {
		// What is true of this question says nothing about the transmission asked about.
		v.Result = Uncertain
		return v
	}
	switch {
	case a.Esito == "ACCETTATO" && a.Protocol != "" && len(a.Codes) == 0:
		return Verdict{Result: Delivered, Protocol: a.Protocol, Answered: true}
	case a.Esito == "RIFIUTATO" && a.Protocol == "":
		return Verdict{Result: Refused, Codes: a.Codes, Answered: true}
	case a.Esito == "SCONOSCIUTO" && a.Protocol == "" && len(a.Codes) == 0:
		return Verdict{Result: Retry, Codes: []string{reasonUnknown}, Answered: true}
	}
	return Verdict{Result: Uncertain, Codes: []string{reasonContradicts}}
}

// common judges what does not depend on the outcome told; done is false for an answer of the
// contract to this very question.
func common(id uuid.UUID, a Answer, want string) (v Verdict, done bool) {
	switch {
	case !a.Sent:
		return Verdict{Result: Retry, Codes: []string{reasonNotSent}}, true
	case a.Status == 0:
		return Verdict{Result: Uncertain, Codes: []string{reasonNoAnswer}}, true
	case a.Root == want && a.Status == http.StatusOK && a.ID == id:
		return Verdict{}, false
	case a.Root == want && a.Status == http.StatusOK:
		return Verdict{Result: Uncertain, Codes: []string{reasonOtherID}}, true
	case a.Root == "Fault" && faultStatus(a.Status):
		// A client's fault was read and judged; a server's says that it cannot serve now.
		return Verdict{Result: Retry, Codes: a.Codes, Answered: a.Status == http.StatusBadRequest}, true
	case a.Root == "" && notTaken(a.Status):
		return Verdict{Result: Retry, Codes: []string{statusReason(a.Status)}}, true
	case a.Root == "" && a.Status != http.StatusOK:
		return Verdict{Result: Uncertain, Codes: []string{statusReason(a.Status)}}, true
	case a.Root == "":
		return Verdict{Result: Uncertain, Codes: []string{reasonNotContract}}, true
	}
	return Verdict{Result: Uncertain, Codes: []string{reasonContradicts}}, true
}

// faultStatus tells whether a Fault comes with a status the contract gives it.
func faultStatus(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusInternalServerError, http.StatusServiceUnavailable,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

// notTaken tells whether a status without an answer of the contract says that nobody took the
// request: redirections are not followed, 4xx is refused by whoever stands before SISS, 503
// says to come back. Should one of them lie, the repeated IdTrasmissione does no harm.
func notTaken(status int) bool {
	return status >= 300 && status < 500 || status == http.StatusServiceUnavailable
}

func statusReason(status int) string {
	const digits = "0123456789"
	if status < 100 || status > 999 {
		return "http_other"
	}
	return "http_" + string([]byte{digits[status/100], digits[status/10%10], digits[status%10]})
}
