// Sends whole events, from the objects that gSOAP makes of their documents.
#ifndef HISTORY_H
#define HISTORY_H

#include <string>

// Sends the events that a file lists and gives the program's exit code.
int history(const std::string &wsdl, const std::string &version, const std::string &file);

#endif
