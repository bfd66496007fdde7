"""Words that are names of some patients and mean something else in most lines of a log.

A scrubber that removed each "series" because a phantom is called Series^Synthetic would leave unreadable logs;
one that kept "Young" would name a patient. Therefore there are two lists.
"""

from __future__ import annotations

__all__ = ["ALSO_NAMES", "VOCABULARY"]

VOCABULARY = frozenset(
    # of programs, of imaging, of phantoms and test data, and the words between them
    """
    abdomen abu acr al algorithm an and angio anonymised anonymized anonymous anterior anwender application array as
    at axial be bin brain breast by byte bytes callback case catphan chest client code contrast control coronal
    count ct cylinder da das data dataset de default del demo den der des device di dicom do done dos dr du dummy el
    element empty error et event exam example failed false field file files first folder for format frame frames
    from function go has he head header health heart hospital ibn id if image images import in inf info input
    instance instances invalid is it job key knee la las last le left level line list liver log los lung mask
    measure message min missing modality model module mr na name nan new no none not null number object of off ok
    old on one or origin other output patient pelvis phantom phase physician pixel posterior process progress python
    qa read reader report research result right root run sagittal sample san scan scanner segment segmentation send
    sender sequence series server service session set shape size slice slices so source sphere spine start state
    status step store stored string student study subject such synthetic system tag task ten ter test tester tests
    text the thorax thread time to total true two type uid uint unknown unnamed up us user value values van version
    view volume volunteer von warning water we with write zu zur
    """.split()  # noqa: SIM905  a list would be a line for each
)
"""Words that are removed only within the whole name, or beside another part of it."""

ALSO_NAMES = frozenset(
    """
    april art august bath bell best bill bird bishop black blank block bloom blue bond bone bow bowl box brand
    bridge brook brown bush call chance chase church clay close cook crane cross dawn day dean dear earl early east
    english even fair faith farmer fear fields finger fish flower foot ford forest fox frank free french frost gold
    good grace grand grant grave gray green grey grove guy hall hand hands hard hart hill hobby hold home hope house
    hu hunt hunter ivy joy june just justice keys king knight lake lane law long lord love low mark marsh max may
    mercy mill miller mine moon more moss nail north page paige park pearl penny pepper piece pike pine point pole
    pool poor post power price prince quick rain ran ray red reed rich ring river robin rock rod rose ruby rue rush
    sage sand sands school sea self sharp shell shepherd short silver singer small smart smith snow song south
    spring stand star steel stone storm strange strong summer sweet swift temple thing tower town tree trip wall wan
    ward waters way weaver weeks well wells west white wild will wills wind winter wise wish wolf wood woods worth
    yes you young
    """.split()  # noqa: SIM905  a list would be a line for each
)
"""Words that are removed alone only if they are written as a name, with a capital letter."""
