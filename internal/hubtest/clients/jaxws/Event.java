import java.math.BigDecimal;
import java.time.Instant;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.util.Arrays;
import java.util.GregorianCalendar;
import java.util.List;
import java.util.UUID;
import javax.xml.datatype.DatatypeConfigurationException;
import javax.xml.datatype.DatatypeFactory;
import javax.xml.datatype.XMLGregorianCalendar;
import sinba.eventi.v1.*;

/** The event that the clients of all stacks build, as the types that wsimport makes. */
final class Event {
    private Event() {}

    /** A day, as old code makes it of a Date: with the machine's zone, which the contract ignores. */
    static XMLGregorianCalendar day(String day) {
        return calendar(GregorianCalendar.from(LocalDate.parse(day).atStartOfDay(ZoneId.of("Europe/Rome"))));
    }

    static XMLGregorianCalendar instant(String instant) {
        return calendar(GregorianCalendar.from(OffsetDateTime.parse(instant).toZonedDateTime()));
    }

    static XMLGregorianCalendar now() {
        return instant(Instant.now().toString());
    }

    private static XMLGregorianCalendar calendar(GregorianCalendar calendar) {
        try {
            return DatatypeFactory.newInstance().newXMLGregorianCalendar(calendar);
        } catch (DatatypeConfigurationException e) {
            throw new IllegalStateException(e);
        }
    }

    /** A whole event with ids of its own. */
    static MessaggioEventoType create() {
        MessaggioEventoType e = new MessaggioEventoType();
        String id = UUID.randomUUID().toString();
        e.setVersione("1.0");
        e.setTestata(new TestataType());
        e.getTestata().setIdMessaggio(UUID.randomUUID().toString());
        e.getTestata().setIdEvento(id);
        e.getTestata().setTipoEvento(CodTipoEvento.CARICAMENTO_INIZIALE);
        e.getTestata().setTipoOperazione(CodTipoOperazione.I);
        e.getTestata().setProgressivoCartella(1);
        e.getTestata().setDataOraEvento(instant("2024-04-10T10:00:00+02:00"));
        e.getTestata().setDataOraInvio(now());
        e.getTestata().setAmbiente(CodAmbiente.PROD);
        e.setMittente(mittente());
        e.setSoggetto(soggetto());
        e.setCartella(new RiferimentoCartellaType());
        e.getCartella().setIdCartella("2024/" + id.substring(0, 8));
        e.getCartella().setDataApertura(day("2021-09-10"));
        e.setDettaglio(new DettaglioType());
        e.getDettaglio().setFotografia(fotografia());
        return e;
    }

    private static MittenteType mittente() {
        EnteMittenteType ente = new EnteMittenteType();
        ente.setCodiceEnte("SDS-PI");
        ente.setCodiceFiscaleEnte("80000000010");
        ente.setTipoEnte(CodTipoEnte.SDS);
        ente.setDenominazione("Società della Salute dell'Area \"Pisana\" & Valdera");
        ente.setCodiceZona("Z15");
        ApplicativoType product = new ApplicativoType();
        product.setFornitore("Alias2k");
        product.setProdotto("Gesocial");
        product.setVersione("5.1");
        MittenteType m = new MittenteType();
        m.setEnte(ente);
        m.setApplicativo(product);
        m.setIdOperatoreLocale("GS:12");
        return m;
    }

    private static SoggettoType soggetto() {
        IndirizzoType home = new IndirizzoType();
        home.setCodiceNazione("380");
        home.setCodiceComune("050026");
        home.setCAP("56127");
        home.setIndirizzo("Via dell'Esempio 7/A, località Più su <interno 2> €");
        AnagraficaType a = new AnagraficaType();
        a.setCognome("D'Angelò Škoda");
        a.setNome("Zoë Nicolò");
        a.setSesso(CodSesso.F);
        a.setDataNascita(day("2012-05-09"));
        a.setLuogoNascita("G702");
        a.setCodiceCittadinanza("380");
        a.setResidenza(home);
        SoggettoType s = new SoggettoType();
        s.setIdAssistitoLocale("A-00950-0012");
        s.setIdentificativo(new IdentificativoPersonaType());
        s.getIdentificativo().setCodiceFiscale("DNGZCL12E49G702K");
        s.setAnagrafica(a);
        return s;
    }

    private static DatiMinoreType minore() {
        DatiMinoreType m = new DatiMinoreType();
        m.setMinoreStranieroNoAcc("2");
        m.setCondizioneMinore("1");
        m.setLuogoVita("1");
        m.setScuolaFrequentata("5");
        m.setCondizioneLavoro("1");
        m.setDisabilita("2");
        return m;
    }

    /** The body of a CARICAMENTO_INIZIALE. A list has no setter: one adds to what the getter gives. */
    private static FotografiaType fotografia() {
        FotografiaType f = new FotografiaType();
        f.setDataRiferimento(day("2024-03-31"));
        PresaInCaricoType taken = new PresaInCaricoType();
        taken.setDataPresaInCarico(day("2021-09-24"));
        taken.setTipoPresaInCarico(CodTipoPresaInCarico.SOCIO_SANITARIA);
        taken.setMotivoPrevalente("7");
        taken.setDatiMinore(minore());
        f.setPresaInCarico(taken);
        SegnalazioneType report = new SegnalazioneType();
        report.setIdSegnalazione("SGN-21-0121");
        report.setDataSegnalazione(day("2021-09-10"));
        report.setPrimaSegnalazione("1");
        report.setFonteSegnalazione("14");
        report.setSegnalazioneAutoritaGiudiziaria("1");
        report.setDataSegnalazioneAutorita(day("2021-09-12"));
        f.setSegnalazione(report);
        f.setValutazione(valutazione());
        f.setNucleoFamiliare(nucleo());
        f.getProgetto().add(progetto());
        f.getProvvedimentoGiudiziario().add(provvedimento());
        f.getIntervento().addAll(interventi());
        f.getAffidamento().add(affidamento());
        f.getInserimentoStruttura().add(inserimento());
        return f;
    }

    private static ValutazioneType valutazione() {
        ValutazioneType v = new ValutazioneType();
        v.setIdValutazione("VLT-24-0008");
        v.setDataValutazione(day("2024-02-15"));
        v.setDatiMinore(minore());
        v.getDatiMinore().setLuogoVita("3");
        v.getDatiMinore().setScuolaFrequentata("6");
        v.getDatiMinore().setDisabilita("1");
        v.getDatiMinore().setTipoDisabilita("3");
        v.getDatiMinore().setInvCivCertificazioni("5");
        v.getValutazioneMinore().addAll(Arrays.asList("2", "7"));
        v.getValutazioneFamigliaMinore().addAll(Arrays.asList("7", "2"));
        v.getCollaborazioniInterventi().addAll(Arrays.asList("3", "5", "7"));
        v.setISEE(new IseeType());
        v.getISEE().setNumeroComponentiISEE(4);
        v.getISEE().setFasciaISEEBeneficiario("3");
        return v;
    }

    private static NucleoFamiliareType nucleo() {
        NucleoFamiliareType n = new NucleoFamiliareType();
        n.setDataRiferimento(day("2024-02-15"));
        n.getComposizioneFamiglia().addAll(Arrays.asList("1", "2", "3"));
        n.setPadre(new GenitoreType());
        n.getPadre().setCodiceCittadinanza("203");
        n.getPadre().setCodiceRegioneResidenza("17");
        n.getPadre().setTitoloStudio("2");
        n.getPadre().setOccupazione("1");
        n.setMadre(new GenitoreType());
        n.getMadre().setCodiceCittadinanza("380");
        n.getMadre().setOccupazione("4");
        return n;
    }

    private static ProgettoType progetto() {
        ProgettoType p = new ProgettoType();
        p.setIdProgetto("PQ-21-004");
        p.setTipoProgetto(CodTipoProgetto.PROGETTO_QUADRO);
        p.setFase(CodFase.APERTURA);
        p.setDataInizio(day("2021-10-15"));
        p.setDataFinePrevista(day("2030-05-09"));
        return p;
    }

    private static ProvvedimentoGiudiziarioType provvedimento() {
        ProvvedimentoGiudiziarioType p = new ProvvedimentoGiudiziarioType();
        p.setIdProvvedimento("TM-22-0019");
        p.setFase(CodFase.APERTURA);
        p.setDataProvvedimentoGiudiziario(day("2022-01-09"));
        p.setAutoritaProvvedimento("2");
        p.setTipoProvvedimentoGiudiziario("4");
        p.setPotestaTutela("1");
        return p;
    }

    private static List<InterventoType> interventi() {
        InterventoType first = new InterventoType();
        first.setIdIntervento("PR-21-0442");
        first.setFase(CodFase.CHIUSURA);
        first.setCodicePrestazione("A1.20");
        first.setDataInizioPrestazione(day("2021-10-01"));
        first.setDataFinePrestazione(day("2022-01-10"));
        first.setErogatore(CodErogatore.TERZO_SETTORE);
        first.setOreServizioMensile(12);
        first.setMotivoChiusura(CodMotivoChiusuraIntervento.CONCLUSO);
        InterventoType second = new InterventoType();
        second.setIdIntervento("PR-22-0031");
        second.setFase(CodFase.APERTURA);
        second.setCodicePrestazione("A4.02");
        second.setVoceNomenclatore("D.2");
        second.setIdProgetto("PQ-21-004");
        second.setDataInizioPrestazione(day("2022-02-03"));
        second.setErogatore(CodErogatore.ASL);
        second.setOreServizioMensile(4);
        second.setImportoMensile(new BigDecimal("1250.10"));
        return Arrays.asList(first, second);
    }

    private static AffidamentoType affidamento() {
        AffidamentoType a = new AffidamentoType();
        a.setIdAffidamento("AF-22-0007");
        a.setFase(CodFase.APERTURA);
        a.setDataInizio(day("2022-07-01"));
        a.setFormaInterventoAffido("2");
        a.setTipoInterventoAffido("2");
        a.setDurataAffido("1");
        a.setCarattereAffido("1");
        a.setIdProvvedimento("TM-22-0019");
        return a;
    }

    private static InserimentoStrutturaType inserimento() {
        InserimentoStrutturaType i = new InserimentoStrutturaType();
        i.setIdInserimento("IS-22-003");
        i.setFase(CodFase.CHIUSURA);
        i.setCodiceStrutturaASSO("ASSO-PI-0007");
        i.setDataIngresso(day("2022-01-13"));
        i.setDataDimissione(day("2022-07-01"));
        i.setCarattereInserimentoResidenziale("10");
        i.setFormaInserimentoResidenziale("2");
        i.setTipoInserimentoResidenziale("2");
        i.setEsitoInserimentoStruttura("2");
        i.setIdProvvedimento("TM-22-0019");
        return i;
    }
}
