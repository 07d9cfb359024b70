package sinba

import (
	"slices"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// clockSkew is how far an instant of the sender's clock may lie in the future.
const clockSkew = 5 * time.Minute

// judgeDates is BR-06: birth ≤ opening ≤ taking in charge ≤ closing; no date in the future but a
// planned one, judged by the calendar in Italy; no instant more than five minutes in the future; no
// limit into the past. Zones of days are ignored.
func judgeDates(j *judgement) {
	judgeFuture(j)
	opening, ok := j.find(j.cat.at.openedOn)
	if !ok {
		return
	}
	opened, _ := parseDay(j.raw(opening))
	if birth := j.day(j.cat.at.birth); birth != 0 && j.later(birth, opened) {
		j.because("before_birth", hub.Grave, opening)
	}
	for i := range j.elems {
		if !j.traits(i).charged && j.elems[i].node != j.cat.at.closing {
			continue
		}
		if d, _ := parseDay(j.raw(i)); d < opened {
			j.because("before_opening", hub.Grave, i)
		}
	}
}

// judgeFuture looks at every date and instant that the schema has.
func judgeFuture(j *judgement) {
	latest := j.now.Add(clockSkew)
	for i := range j.elems {
		at := j.elems[i].node
		future, reason := false, "future"
		switch t := j.traits(i); {
		case t.date:
			d, _ := parseDay(j.raw(i))
			if future = d > j.today; future && at == j.cat.at.birth {
				future = j.later(d, j.today)
			}
			future = future && !slices.Contains(j.cat.at.planned, at)
		case t.instant:
			t, _ := parseInstant(j.raw(i))
			future, reason = t.After(latest), "clock"
		}
		if future {
			j.because(reason, hub.Grave, i)
		}
	}
}

// later tells whether a birth date lies after d. Of a presumed date only the year counts.
func (j *judgement) later(birth, d day) bool {
	if j.presumed() {
		return birth.year() > d.year()
	}
	return birth > d
}
