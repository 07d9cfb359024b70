package sinba

// judgeCourtReport is BR-08: what was reported to the courts has the date of that.
func judgeCourtReport(j *judgement) {
	j.each(report, func(j *judgement, report int) {
		if j.says(report, toCourt, yes) {
			j.needs("needed", report, toCourtOn)
		}
	})
}
