package siss

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
)

// Fault is one way to misbehave in the answer to a request.
type Fault string

// The faults. Those that say "taken" strike after the transmission is durable.
const (
	// None answers as the contract says.
	None Fault = "none"
	// Refuse answers RIFIUTATO, for ever for this id.
	Refuse Fault = "refuse"
	// Fail answers a SOAP Fault with ErroreSiss and status 500; nothing is taken.
	Fail Fault = "fail"
	// Unavailable answers 503 with Retry-After and no SOAP; nothing is taken.
	Unavailable Fault = "unavailable"
	// Cut resets the connection instead of the answer, or after CutAt bytes of it; taken.
	Cut Fault = "cut"
	// Drop resets the connection before anything is taken.
	Drop Fault = "drop"
	// Drip sends the answer byte by byte, DripMS apart; taken.
	Drip Fault = "drip"
	// Garbage answers 200 with bytes that are no XML; taken.
	Garbage Fault = "garbage"
	// HTML answers 200 with the error page of a proxy; nothing is taken.
	HTML Fault = "html"
	// WrongID answers with the IdTrasmissione of another request; taken.
	WrongID Fault = "wrong_id"
	// HalfClose sends CutAt bytes of the answer, ends its side of the connection and keeps the other
	// open until the client closes; taken.
	HalfClose Fault = "half_close"
)

// faultsInOrder lists the faults with a ratio, in the order of ratios.
func faultsInOrder() []Fault {
	return []Fault{Refuse, Fail, Unavailable, Cut, Drop, Drip, Garbage, HTML, WrongID, HalfClose}
}

// trasmettiEvento is the operation that faults strike if Operations is empty.
const trasmettiEvento = "trasmettiEvento"

var (
	errRatio = errors.New("ratios must be between 0 and 1 and not exceed 1 together")
	errDelay = errors.New("slow_ms, drip_ms and cut_at must not be negative")
	errFault = errors.New("unknown fault in next")
)

// Faults is how the simulator misbehaves. The zero value is a good endpoint. Ratios are
// probabilities from 0 to 1; of those but SlowRatio at most one strikes a request.
type Faults struct {
	// SlowMS is how many milliseconds a request waits before it is looked at.
	SlowMS int `json:"slow_ms,omitempty"`
	// SlowRatio is how often it does; 0 with SlowMS set means always.
	SlowRatio        float64 `json:"slow_ratio,omitempty"`
	RefuseRatio      float64 `json:"refuse_ratio,omitempty"`
	FailRatio        float64 `json:"fail_ratio,omitempty"`
	UnavailableRatio float64 `json:"unavailable_ratio,omitempty"`
	CutRatio         float64 `json:"cut_ratio,omitempty"`
	DropRatio        float64 `json:"drop_ratio,omitempty"`
	DripRatio        float64 `json:"drip_ratio,omitempty"`
	GarbageRatio     float64 `json:"garbage_ratio,omitempty"`
	HTMLRatio        float64 `json:"html_ratio,omitempty"`
	WrongIDRatio     float64 `json:"wrong_id_ratio,omitempty"`
	HalfCloseRatio   float64 `json:"half_close_ratio,omitempty"`
	// DripMS is the pause between two bytes of Drip; 0 means 1,000.
	DripMS int `json:"drip_ms,omitempty"`
	// CutAt is how many bytes of the answer Cut and HalfClose let out before they end the connection.
	CutAt int `json:"cut_at,omitempty"`
	// Next are the faults of the next requests, one each, before the ratios count again.
	Next []Fault `json:"next,omitempty"`
	// Operations are those that faults strike; empty means trasmettiEvento only.
	Operations []string `json:"operations,omitempty"`
}

func (f Faults) ratios() []float64 {
	return []float64{
		f.RefuseRatio, f.FailRatio, f.UnavailableRatio, f.CutRatio, f.DropRatio,
		f.DripRatio, f.GarbageRatio, f.HTMLRatio, f.WrongIDRatio, f.HalfCloseRatio,
	}
}

func (f Faults) check() error {
	sum := 0.0
	for _, r := range append(f.ratios(), f.SlowRatio) {
		if r < 0 || r > 1 {
			return errRatio
		}
		sum += r
	}
	// Ratios like 0.1 + 0.2 + 0.7 may exceed 1 by a rounding.
	if sum-f.SlowRatio > 1.000001 {
		return errRatio
	}
	if f.SlowMS < 0 || f.DripMS < 0 || f.CutAt < 0 {
		return errDelay
	}
	for _, next := range f.Next {
		if next != None && !slices.Contains(faultsInOrder(), next) {
			return errFault
		}
	}
	return nil
}

// mischief is what one request meets.
type mischief struct {
	fault          Fault
	slowMS, dripMS int
	cutAt          int
}

// faultBox holds the orders in force.
type faultBox struct {
	mu     sync.Mutex
	orders Faults
}

func newFaultBox(f Faults) *faultBox { return &faultBox{orders: f} }

// set replaces the orders.
func (b *faultBox) set(f Faults) error {
	if err := f.check(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders = f
	return nil
}

func (b *faultBox) get() Faults {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.orders
	f.Next = slices.Clone(f.Next)
	return f
}

// draw decides what a request of the operation meets, and takes its turn from Next.
func (b *faultBox) draw(operation string) mischief {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := &b.orders
	struck := operation == trasmettiEvento
	if len(f.Operations) > 0 {
		struck = slices.Contains(f.Operations, operation)
	}
	m := mischief{fault: None, dripMS: f.DripMS, cutAt: f.CutAt}
	if !struck {
		return m
	}
	if m.dripMS == 0 {
		m.dripMS = 1000
	}
	if f.SlowMS > 0 && (f.SlowRatio == 0 || rand.Float64() < f.SlowRatio) { //nolint:gosec // a dice for tests
		m.slowMS = f.SlowMS
	}
	if len(f.Next) > 0 {
		m.fault = f.Next[0]
		f.Next = f.Next[1:]
		return m
	}
	dice := rand.Float64() //nolint:gosec // a dice for tests
	for i, ratio := range f.ratios() {
		if dice < ratio {
			m.fault = faultsInOrder()[i]
			return m
		}
		dice -= ratio
	}
	return m
}
