package sinba

import (
	"github.com/sinbahub/sinbahub/internal/hub"
)

const (
	// adult is the age at which a child is none any more.
	adult = 18
	// lastCare is the age at which the courts' prolonged care ends.
	lastCare = 21
)

// age gives the whole years from a birth to a day. Who was born on 29 February is a year older on
// 1 March.
func (d day) age(at day) int { return int(at-d) / 10_000 }

// youngest is the latest day on which a child with this birth date may have been born, oldest the
// first: of a presumed date only the year is known, and a rule must not fail on the rest.
func (j *judgement) youngest(birth day) day {
	if j.presumed() {
		return birth - birth%10_000 + 1231
	}
	return birth
}

// oldest: see youngest.
func (j *judgement) oldest(birth day) day {
	if j.presumed() {
		return birth - birth%10_000 + 101
	}
	return birth
}

// judgeAge is BR-05: who is taken in charge is a child. From 18 to 20 it may be the care that a court
// prolonged (LIEVE); from 21 on there is none (GRAVE).
func judgeAge(j *judgement) {
	birth := j.day(j.cat.at.birth)
	if birth == 0 {
		return
	}
	birth = j.youngest(birth)
	for i := range j.elems {
		if !j.traits(i).charged {
			continue
		}
		taken, _ := parseDay(j.raw(i))
		switch years := birth.age(taken); {
		case taken > j.today: // a wrong date says nothing of the age, and BR-06 tells it
		case years >= lastCare:
			j.because("too_old", hub.Grave, i)
		case years >= adult:
			j.because("adult", hub.Lieve, i)
		}
	}
}

// The values of codMotivazioneChiusura that the rules know.
const (
	endedByAge   = "3"
	endedByDeath = "8"
)

// judgeClosing is BR-18: who left for being of age is (if this event says the birth date; the case's
// own is looked at with its history), and of a child who died no whereabouts are told.
func judgeClosing(j *judgement) {
	j.each(ended, func(j *judgement, closing int) {
		why, ok := j.child(closing, endedFor)
		if !ok {
			return
		}
		switch string(j.raw(why)) {
		case endedByAge:
			birth := j.day(j.cat.at.birth)
			if birth != 0 && j.oldest(birth).age(j.dayOf(closing, endedOn)) < adult {
				j.because("minor", hub.Lieve, why)
			}
		case endedByDeath:
			if i, ok := j.child(closing, endedIn); ok {
				j.because("dead", hub.Lieve, i)
			}
		}
	})
}
