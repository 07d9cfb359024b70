#include "history.h"

#include <fstream>
#include <iostream>
#include <sstream>

#include "soapSinbaEventiSoap11Proxy.h"
#include "soapSinbaEventiSoap12Proxy.h"

namespace {

// Reads a document into gSOAP's types, whatever its prefixes. An element that they do not have is an
// error: without SOAP_XML_STRICT it would be left out without a word.
sinba__MessaggioEventoType *readEvent(struct soap *soap, const std::string &document) {
    std::ifstream text(document);
    sinba__MessaggioEventoType *event = soap_new_sinba__MessaggioEventoType(soap);
    soap->is = &text;
    soap_set_imode(soap, SOAP_XML_STRICT);
    int error = soap_read_sinba__MessaggioEventoType(soap, event);
    soap_clr_imode(soap, SOAP_XML_STRICT);
    soap->is = nullptr;
    return error ? nullptr : event;
}

template <class Proxy> int send(const std::string &url, std::ifstream &list) {
    struct soap *soap = soap_new1(SOAP_C_UTFSTRING);
    Proxy proxy(soap);
    proxy.soap_endpoint = url.c_str();
    for (std::string line; std::getline(list, line);) {
        std::istringstream fields(line);
        std::string user, passwordFile, document, password;
        std::getline(fields, user, '\t');
        std::getline(fields, passwordFile, '\t');
        std::getline(fields, document);
        std::ifstream file(passwordFile);
        std::getline(file, password);

        sinba__MessaggioEventoType *event = readEvent(soap, document);
        sinba__RicevutaEventoType receipt;
        soap->userid = user.c_str();
        soap->passwd = password.c_str();
        if (!event || proxy.inviaEvento(event, receipt) != SOAP_OK) {
            std::cerr << document << ": ";
            soap_stream_fault(soap, std::cerr);
            return 1;
        }
        std::cout << soap_sinba__codEsitoRicezione2s(soap, receipt.Esito) << " " << (receipt.SaleImpronta ? *receipt.SaleImpronta : "-")
                  << " " << receipt.ImprontaMessaggio << std::endl;
        proxy.destroy(); // what the context holds of this event
    }
    return 0;
}

} // namespace

int history(const std::string &wsdl, const std::string &version, const std::string &file) {
    std::ifstream list(file);
    std::string url = wsdl.substr(0, wsdl.find('?'));
    return version == "SOAP12" ? send<SinbaEventiSoap12Proxy>(url, list) : send<SinbaEventiSoap11Proxy>(url, list);
}
