package sinba

import "github.com/sinbahub/sinbahub/internal/hub"

// phaseClosed is the value of codFase that ends what was begun.
const phaseClosed = "CHIUSURA"

// judgePhases is BR-12: what is closed has its end, and a placement in a family or a structure its
// outcome.
func judgePhases(j *judgement) {
	j.each(phased, func(j *judgement, body int) {
		if j.says(body, phase, phaseClosed) {
			j.needs("needed", body, until, outcome)
		}
	})
}

// judgeSpans is the part of BR-06 that looks at what begins and ends: nothing ends before it begins
// (GRAVE: no interval of the case could be made of it), and an end that is told without the closing
// phase is a warning, since the sender takes for closed what is still open here. A court's order may
// say from the first when it ceases, so it is not warned of.
func judgeSpans(j *judgement) {
	j.each(phased, func(j *judgement, body int) {
		i, ok := j.child(body, until)
		if !ok {
			return
		}
		end, _ := parseDay(j.raw(i))
		// A beginning in the future is told by itself.
		if begin := j.dayOf(body, from); end < begin && begin <= j.today {
			j.because("before_start", hub.Grave, i)
		}
		if !j.says(body, phase, phaseClosed) && j.typ(body) != orderType {
			j.because("not_closed", hub.Lieve, i)
		}
	})
}
