"""A Presidio analyzer over HTTP, with the routes of its official image: the package has the analyzer, but not the server.

Usage: presidio.py PORT"""

import sys
import tempfile

import spacy
import tldextract
from flask import Flask, jsonify, request
from presidio_analyzer import AnalyzerEngine, AnalyzerRequest, BatchAnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider

# Use the list in the package, not the current one from the web.
tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())


def engine():
    """An analyzer without a language model: it only uses patterns and check digits."""
    model = tempfile.mkdtemp()
    spacy.blank("en").to_disk(model)
    models = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": model}]}
    nlp = NlpEngineProvider(nlp_configuration=models).create_engine()
    return AnalyzerEngine(nlp_engine=nlp, supported_languages=["en"])


app = Flask(__name__)
analyzer = BatchAnalyzerEngine(engine())


@app.post("/analyze")
def analyze():
    asked = AnalyzerRequest(request.get_json())
    texts = asked.text if isinstance(asked.text, list) else [asked.text]
    found = analyzer.analyze_iterator(
        texts=texts,
        batch_size=len(texts),
        language=asked.language,
        correlation_id=asked.correlation_id,
        score_threshold=asked.score_threshold,
        entities=asked.entities,
    )
    found = [[entity.to_dict() for entity in entities] for entities in found]
    for entity in (entity for entities in found for entity in entities):
        entity.pop("recognition_metadata", None)
    return jsonify(found if isinstance(asked.text, list) else found[0])


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), threaded=True)
