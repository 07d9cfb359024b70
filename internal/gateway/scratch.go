package gateway

// scratch is room for what an exchange needs of a message only until it is answered: its body and its
// content form. What is in it says who a child is: it is overwritten before another exchange gets it,
// and only an exchange that ended well gives it back, because of any other a worker of the validator may
// still be reading the body.
type scratch struct {
	body    [firstRead]byte
	content []byte
}

// mostContent is the largest room for a content form that is kept, in bytes.
const mostContent = 64 << 10

// borrow gives an exchange its room.
func (g *Gateway) borrow() *scratch {
	s, ok := g.rooms.Get().(*scratch)
	if !ok {
		panic("gateway: the pool holds something else than room")
	}
	return s
}

// giveBack overwrites an exchange's room and gives it back. Nothing of the message may be used
// afterwards.
func (g *Gateway) giveBack(x *exchange) {
	s := x.room
	if s == nil {
		return
	}
	x.room = nil
	x.forget()
	s.overwrite(x.size)
	g.rooms.Put(s)
}

// overwrite takes out what an exchange with a body of so many bytes left.
func (s *scratch) overwrite(body int) {
	clear(s.body[:min(body, len(s.body))])
	clear(s.content)
	if cap(s.content) > mostContent {
		s.content = nil
	}
}
