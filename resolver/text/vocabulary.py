"""Generic words of affiliations, by what they say; no names.

Folded (`resolver.text.words.fold`), in the languages that affiliations are mostly written in. A
star stands for any ending: "universi*" is university, Universität, universidade. Latin words for
units, organisations and fields were taken from those that are frequent in the spans of AffilGood's
annotated affiliations (SUB and ORG; Apache-2.0, SIRIS Academic, "AffilGood", 2024) and put in
order by hand; other languages and scripts were added from common dictionaries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from resolver.text.words import fold, words


@dataclass(frozen=True, slots=True)
class Lexicon:
    """A set of words, of beginnings of words, and of pieces of unspaced scripts."""

    whole: frozenset[str]
    beginnings: frozenset[str]
    pieces: re.Pattern[str] | None

    @classmethod
    def of(cls, listed: str, pieces: str = "") -> Self:
        forms = listed.split()
        unspaced = "|".join(re.escape(fold(piece)) for piece in pieces.split())
        return cls(
            frozenset(words(form)[0] for form in forms if not form.endswith("*")),
            frozenset(words(form)[0] for form in forms if form.endswith("*")),
            re.compile(unspaced) if unspaced else None,
        )

    def __contains__(self, word: str) -> bool:
        """Whether a folded word is one of these."""
        if word in self.whole:
            return True
        beginnings = self.beginnings
        if beginnings:
            # Asked of most words of all texts; a generator would take twice as long.
            for length in range(3, len(word) + 1):
                if word[:length] in beginnings:
                    return True
        return False

    def within(self, folded: str) -> bool:
        """Whether a folded text in an unspaced script holds one of the pieces."""
        return bool(self.pieces and self.pieces.search(folded))


ORGANISATION = Lexicon.of(
    """
    universi* univ univers yliopisto* egyetem sveuciliste univerzit* uniwersyt* panepistim*
    πανεπιστημι* университет* універсітет* університет* جامعه جامعات دانشگاه* אוניברסיט*
    אוניברסיטת hospital* hosp hopit* hospita* ospedal* krankenhaus* klinikum
    universitatsklinik* spital szpital* nemocnic* bolnic* ziekenhuis* sykehus* sjukhus*
    sygehus* sairaala* hastane* korhaz νοσοκομει* больниц* лікарн* госпитал* مستشفي بیمارستان*
    infirmary policlinico policlinica* academ* akadem* osservatorio uniklinik* firm академи*
    اكاديميه polytech* politec* politech* polyt ecole hochschul* hogeschool hogskol* technikon
    collegio seminary seminario madrasah ministr* ministerio ministerium ministero
    ministere ministry министерств* وزاره وزارت foundation fondation fundacio* fondazione
    stiftung stichting organisation organisations organization organizations organizac*
    organizzazione alliance coalition initiative* union bank fund government gouvernement
    gobierno governo healthcare nhs veterans army police embassy parliament council consejo
    conselho conseil consiglio consell society gesellschaft sociedad societe sociedade
    association asociaci* associac* associazione verein vereniging federation agency agence
    agencia agentur authority autoridad commission comision corporation corp company companies
    gmbh inc incorporated sarl ltd llc llp plc pvt pty srl spa sas bv nv ag kg oy ab limited
    consulting consultants pharmaceuticals therapeutics ооо оао trust museum museums musee
    museo museu observator* zoo archive archives bibliothek sanator*
    """,
    """
    大学 大學 高校 医院 醫院 病院 研究院 科学院 科學院 公司 会社 會社 博物館 博物馆 財団 協会
    学会 研究所 대학교 대학원 병원 연구원 연구소 공사 재단 학회
    มหาวิทยาลัย โรงพยาบาล สถาบัน วิทยาลัย
    """,
)
"""What only an organisation is called."""

UNIT = Lexicon.of(
    """
    department* dept depts dpto dpt dep departe* departa* departem* dipartiment* dipart
    afdeling* abteil* fachbereich* lehrstuhl* faculty facultes faculte facultad* faculdad*
    facolt* fakult* fac fak wydzial* katedr* zaklad* osztaly tanszek* bolum* anabilim fakulte*
    jurusan prodi laitos osasto institutionen avdelning* seksjon seksjonen sektion* кафедр*
    факультет* отдел* отделени* лаборатори* τμημα σχολη قسم كليه كليات گروه دانشكده بخش מחלק*
    המחלקה פקולט* בית division* section* unit units unite unites unidad* unita unitat einheit
    chair* group groups groupe* grupo* gruppe* team teams equipe* equipo* service services
    servicio* servico* servei servizio program programs programme* programa* ward wards
    subdepartment subdivision directorate* direction branch sector umr upr ufr gdr usr fre umi
    erl
    """,
    "学部 學部 学科 學科 研究室 教研室 学系 學系 医局 講座 科室 학과 학부 교실 ภาควิชา คณะ",
)
"""What only a part of an organisation is called."""

EITHER = Lexicon.of(
    """
    institut* inst institu* istitut* instytut* ινστιτουτο институт* інститут* معهد موسسه
    پژوهشگاه מכון intezet* center centers centre centres centro centros centrum zentrum cent
    ctr merkez* tsentr центр* kozpont keskus senter مركز مركزي מרכז osrodek κεντρο college
    colleges school schools escuela escola scuola schule skola okul* школа מדרס* lab labs
    laborato* labor station stations estacion clinic clinics klinik* clinique* clinica*
    клиник* observatoire office bureau campus library hub platform plateforme network
    consortium project graduate postgraduate
    """,
    "学院 學院 中心 实验室 實驗室 センター 센터 연구센터",
)
"""What both organisations and their parts are called: its other words decide."""

FIELD = Lexicon.of(
    """
    medic* surg* chirurg* cirug* nurs* enferm* pharm* farmac* farmak* dent* odonto*
    stomatolog* veterin* oncolog* cancer* tumor* hemato* haemato* cardio* cardiac* kardio*
    vascular neuro* psych* psico* psik* pediatr* paediatr* kinder* child* obstetr* gyn* ginec*
    urolog* nephro* nefro* gastro* hepat* endocrin* diabet* dermato* ophthal* oftal*
    otolaryng* otorhino* orl ear nose throat head neck maxillo* ortho* orto* trauma* rheumat*
    reumat* pulmon* pneumo* respirat* thora* torac* anesth* anaesth* anest* radiol* imag*
    intensiv* critical emergency urgenc* acute internal general family primary care clinic*
    klinisch* infect* infec* virolog* immun* inmun* allerg* patholog* patolog* anatom*
    histolog* physiol* fisiol* epidemi* biostat* transplant* transfus* rehab* nutri* aliment*
    diet* sport* exercise kinesi* oral plastic reconstruct* disease* disorder* health* salud
    saude sante gesundheit* sanit* hygien* higien* mental occupational preventive prevention
    public community communit* maternal reproduct* aging ageing geriatr* palliat* diagnos*
    therap* toxicol* forens* scien* sci ciencia* ciencies scienz* wissensch* naturwissensch*
    nauk науч* наук* علوم ilmu mathem* matem* math maths mathe* statist* estadist* stochastic*
    algebr* geometr* comput* informat* softw* data dati artificial intelligen* cybersec*
    cybernet* network* telecom* communicat* comunic* physic* physik* physique* fisic* fizik*
    физик* astro* optic* photon* quantum nuclear* particle* theor* teor* applied aplic*
    applic* angewandt* experimental* exper* plasma radiat* acoust* chem* chim* quim* kim*
    хими* polymer* catalys* kataly* material* werkstoff* nanot* nanos* nanom* nanoel* ceram*
    metall* electrochem* biol* biolog* biochem* bioqu* biotech* biotec* bioeng* bioing*
    bioinf* biomed* biomat* biophys* biofis* biosci* biodiv* bio биолог* microb* mikrob*
    genet* genom* proteom* molecul* molek* cell* zell* evolution* ecolog* ecol* ekolog* zool*
    botan* entomol* parasit* plant plants planta* pflanz* animal* livestock crop* soil* agro*
    agric* agrar* agron* hortic* forest* fores* silvic* fisher* fish aquac* food* lebensm*
    dairy marin* ocean* hydrolog* water wasser agua climat* meteor* atmosph* geolog* geograf*
    geograph* geophys* geosci* geod* geoinf* geomat* geoch* geoec* earth erdw* miner* mining
    petrol* environment* environn* ambient* umwelt* sustain* sostenib* energ* power electr*
    elektr* elettr* eletr* mechan* mecan* mekan* maschin* civil* construc* struct* build*
    bauwesen bauing* architect* arquit* urban urbanis* transport* aerosp* aeron* automat*
    robot* control* signal* system* sistem* techn* tecn* tekn* engineer* eng ing ingen*
    engenh* industr* manufact* process* design* product* chemical instrument* econom* ekonom*
    econ wirtschaft* business negoc* betrieb* management managerial managing gestion*
    administr* admin* account* contab* financ* market* comerc* commerce trade law laws rights
    droit derecho direito recht* jurid* juris* jura legal politic* polit* policy policies
    govern* international relations social* sozial* socio* anthropol* antropol* demogr*
    populat* human* humanit* histor* gesch* philosoph* filosof* theolog* teolog* relig* ling*
    language* idiom* lengua* langue* literat* letras lettres philolog* filolog* translation
    classics archaeol* archeol* arqueol* art arts artes music* musik* theat* film media
    journal* culture* cultural educat* educa* erzieh* pedagog* tourism* turis* leisure
    hospitality develop* desarrollo planning planung planific* studies study studi estudios
    etudes research* recherch* investig* forsch* pesquisa* ricerca innov* advanced basic
    fundament* integrat* interdiscipl* comparative translat* computational analytic* analys*
    organic inorganic physical theoretical environmental life lives women gender youth
    """,
    "医学 醫學 物理 化学 化學 生物 数学 工学 科学 经济 管理 外科 内科",
)
"""What is studied, treated or taught."""

LINK = Lexicon.of(
    """
    of and the for in at on to a an by with from its de la le les des du d l el los las y e i
    o en del da do das dos di della delle degli dei per et pour sur aux au und fur der die im
    am von zu och og av ja u z w na pri dan ve ile es и в по при имени им و في على در به και
    του της των v s st ii iii iv vi n no nr key joint state provincial regional main new
    """,
)
"""Words that join, and adjectives that any part may have."""

SORTS = {
    "university": Lexicon.of(
        """
        universi* univ univers yliopisto* egyetem sveuciliste univerzit* uniwersyt* panepistim*
        πανεπιστημι* университет* універсітет* університет* جامعه جامعات دانشگاه* אוניברסיט*
        אוניברסיטת
        """,
        "大学 大學 대학교 มหาวิทยาลัย",
    ),
    "hospital": Lexicon.of(
        """
        hospital* hosp hopit* hospita* ospedal* krankenhaus* klinikum universitatsklinik* spital
        szpital* nemocnic* bolnic* ziekenhuis* sykehus* sjukhus* sygehus* sairaala* hastane* korhaz
        νοσοκομει* больниц* лікарн* госпител* مستشفي بیمارستان* infirmary policlinic* uniklinik*
        clinic clinics klinik* clinique* clinica клиник*
        """,
        "医院 醫院 病院 병원 โรงพยาบาล",
    ),
    "college": Lexicon.of(
        "college colleges collegio colegio hochschul* hogeschool hogskol* polytech* politec*",
        "学院 學院",
    ),
    "institute": Lexicon.of(
        """
        institut* inst istitut* instytut* ινστιτουτο институт* інститут* معهد موسسه پژوهشگاه מכון
        """,
        "研究所 研究院 연구원 연구소 สถาบัน",
    ),
    "academy": Lexicon.of("academ* akadem* академи* اكاديميه", "科学院 科學院"),
    "company": Lexicon.of(
        """
        firm corporation corp company companies gmbh inc incorporated sarl ltd llc llp plc pvt pty
        srl spa sas bv nv ag kg oy ab limited consulting consultants pharmaceuticals therapeutics
        ооо оао
        """,
        "公司 会社 會社",
    ),
    "authority": Lexicon.of(
        """
        ministr* министерств* وزاره وزارت government gouvernement gobierno governo agency agence
        agencia agentur authority autoridad commission comision council consejo conselho conseil
        consiglio consell
        """
    ),
    "society": Lexicon.of(
        """
        society gesellschaft sociedad sociedade association asociaci* associac* associazione verein
        vereniging federation alliance union foundation fondation fundacio* fondazione stiftung
        stichting
        """,
        "財団 協会 学会 재단 학회",
    ),
    "museum": Lexicon.of("museum museums musee museo museu", "博物館 博物馆"),
}
"""Sorts of organisations by the words for them, all of which are in `ORGANISATION` or `EITHER`
too: a name with "hospital" and one with "university" are those of two organisations."""

PLACE = Lexicon.of(
    """
    street str st road rd avenue ave av boulevard blvd lane drive highway square plaza plaz place
    building bldg floor room suite box pobox po cedex bp postcode zip rue via viale piazza calle
    carrer rua avenida strasse straße weg platz allee gasse ulica ul ulitsa prospekt улица ул просп
    jalan jl km campus city town village district county province prefecture region municipality
    republic kingdom republica republique states flat apt apartment apartments parkway pkwy
    """,
)
"""What addresses are made of."""

PERSON = Lexicon.of(
    """
    dr prof professor* professeur profesor* lecturer* docent* md phd mph msc bsc mbbs frcp facs rn
    researcher* scholar* scientist* investigator* student* candidate doctoral postdoc* fellow
    resident* physician* surgeon* nurse nurses engineer consultant* retired emeritus independent
    freelance author* editor* reviewer dean chairman president director manager librarian teacher*
    actuary practitioner* pathologist* psychologist* radiologist* cardiologist* registrar intern
    unaffiliated mr mrs ms private privat employed unemployed citizen* homemaker housewife
    independiente* independente* independant* indipendente* unabhangig* freiberuf* selbststand*
    investigador* pesquisador* chercheur* chercheuse* ricercator* ricercatric* wissenschaftler*
    forscher* onderzoeker* zelfstandig* badacz* niezalezn* bagimsiz arastirmaci* независим*
    незалежн* исследовател* дослідник* аспирант* аспірант* профессор* професор* доцент* студент*
    пенсионер* преподавател* ανεξαρτητ* ερευνητ* باحث مستقل
    """,
    """
    独立研究者 独立研究员 獨立研究者 自由研究者 自由撰稿人 在野研究者 フリーランス 연구자 프리랜서
    个体研究者 個人研究者 个人研究者 自由职业 自由職業 无单位 無單位 无工作单位 無所属 무소속 退休
    无业 無職 自宅
    นักวิจัยอิสระ
    """,
)
"""Persons, by title, degree or role."""

NEGATION = Lexicon.of(
    "no not without none kein keine keiner nicht ohne sans aucun aucune sin senza sem nessuna nao"
    " geen ingen bez без нет"
)
"""As in "no institution"."""

REMARK = Lexicon.of(
    """
    email emails mail correspond* orcid doi http https www tel telephone phone fax received
    accepted revised published publication* submitted contributed equally supplement* disclos*
    conflict* interest* funding funded supported copyright license licence reserved rights
    reprint* request* present* previously currently deceased abstract article manuscript
    journal issue volume footnote online available version corresponding aff unknown none null
    na nan tba affiliation nil angabe* applicable unspecified undisclosed ditto idem above address
    """,
)
"""Remarks about an article instead of where its authors work."""
