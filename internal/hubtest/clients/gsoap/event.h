// The event that the clients of all stacks build, as the types that wsdl2h and soapcpp2 make.
#ifndef EVENT_H
#define EVENT_H

#include <string>

#include "soapH.h"

// Makes a random UUID.
std::string newUuid();

// Makes an optional value: gSOAP holds what may be absent by a pointer into its context.
std::string *optional(struct soap *soap, const std::string &value);

// Builds a whole event with ids of its own. It lives as long as the context's data.
sinba__MessaggioEventoType *newEvent(struct soap *soap);

#endif
