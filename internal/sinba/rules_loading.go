package sinba

// judgeBacklog is BR-21: an initial load brings a case that is worked on. One of its services
// began or ended on the cut-off date or later; what has not moved since counts as closed and is not loaded.
func judgeBacklog(j *judgement) {
	j.each(photograph, func(j *judgement, photo int) {
		moved := false
		j.each(phased, func(j *judgement, body int) {
			if int(j.elems[body].parent) == photo && j.typ(body) == serviceType {
				moved = moved || j.dayOf(body, from) >= j.cutOff || j.dayOf(body, until) >= j.cutOff
			}
		})
		if !moved {
			j.lackingIn("cut_off", photo, serviceType)
		}
	})
}
