package hub

import "strings"

// Sentence says in people's words what a violation of one code found, where the code alone says
// several things. `{}` stands for the violation's About.
type Sentence struct {
	Code Code
	// Reason tells the sentences of one code apart.
	Reason string
	IT, EN string
}

// Sentences is the one table of sentences, in the order of the codes. A code without a row is told
// by its own text alone; the page of codes lists the rows below their code.
func Sentences() []Sentence {
	return []Sentence{
		{CodeRule03, "wrong", "Il codice fiscale ha il carattere di controllo o la data errati.", "The codice fiscale has a wrong check character or date."},
		{CodeRule03, "differs", "{} non concorda con il codice fiscale.", "{} does not agree with the codice fiscale."},
	}
}

// Speaker finds the texts of violations. It is built once and serves any number of goroutines.
type Speaker struct {
	codes     map[Code]Text
	sentences map[sentenceKey]Sentence
}

// sentenceKey names a sentence.
type sentenceKey struct {
	code   Code
	reason string
}

// NewSpeaker has the texts of Codes and Sentences.
func NewSpeaker() *Speaker {
	s := &Speaker{codes: map[Code]Text{}, sentences: map[sentenceKey]Sentence{}}
	for _, text := range Codes() {
		s.codes[text.Code] = text
	}
	for _, row := range Sentences() {
		s.sentences[sentenceKey{row.Code, row.Reason}] = row
	}
	return s
}

// Say gives what to tell of a violation: its sentence, or the text of its code.
func (s *Speaker) Say(v Violation) Text {
	row, ok := s.sentences[sentenceKey{v.Code, v.Reason}]
	if !ok {
		return s.codes[v.Code]
	}
	return Text{
		Code: v.Code,
		IT:   strings.ReplaceAll(row.IT, "{}", v.About), EN: strings.ReplaceAll(row.EN, "{}", v.About),
	}
}
