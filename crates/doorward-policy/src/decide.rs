//! The decision, and why.

use cedar_policy::{
    Authorizer, Decision as Cedar, PolicyId, Request as Question, RestrictedExpression,
};
use doorward_mcp::uri::{self, Readings};
use serde::{Deserialize, Serialize};

use crate::arguments::{self, Mismatch};
use crate::compile::PolicySet;
use crate::entities::{action_uid, context, principal_uid, target_uid};
use crate::request::{Arguments, Request, TargetKind};
use crate::slices::Slice;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Allow,
    Deny,
    /// It depends on the arguments, which were not told ([`Arguments::Any`]).
    Depends,
}

/// Why, in a word that stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A policy permits it and none forbids it.
    Permitted,
    /// A policy forbids it.
    Forbidden,
    /// No policy permits it.
    NotPermitted,
    /// An argument is not what policies take it for.
    ArgumentType,
    /// The API key is not good for it.
    KeyScope,
    /// A policy could not be evaluated, and might have forbidden it.
    PolicyError,
    /// It depends on the arguments.
    Depends,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Forbidden => "forbidden",
            Self::NotPermitted => "not_permitted",
            Self::ArgumentType => "argument_type",
            Self::KeyScope => "key_scope",
            Self::PolicyError => "policy_error",
            Self::Depends => "depends",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Permit,
    Forbid,
}

/// A policy that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deciding {
    pub id: String,
    pub effect: Effect,
    /// The policy's `@reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub verdict: Verdict,
    pub code: Code,
    /// In the order of their ids.
    pub policies: Vec<Deciding>,
    /// What went wrong, for the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

impl Decision {
    fn without_policies(code: Code, error: String) -> Self {
        Self { errors: vec![error], ..Self::denied(code) }
    }

    /// For what is decided before policies are asked.
    pub fn denied(code: Code) -> Self {
        Self { verdict: Verdict::Deny, code, policies: Vec::new(), errors: Vec::new() }
    }

    pub fn allowed() -> Self {
        let code = Code::Permitted;
        Self { verdict: Verdict::Allow, code, policies: Vec::new(), errors: Vec::new() }
    }

    /// Whether the call goes on.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }

    /// Whether there is a call that would go on: what is listed.
    pub fn is_possible(&self) -> bool {
        self.verdict != Verdict::Deny
    }

    /// The reason for the caller: what the deciding policies say, or the code in words.
    pub fn reason(&self) -> String {
        let said: Vec<&str> =
            self.policies.iter().filter_map(|policy| policy.reason.as_deref()).collect();
        if !said.is_empty() && self.verdict == Verdict::Deny {
            return said.join("; ");
        }
        match self.code {
            Code::Permitted => "A policy permits it".into(),
            Code::Forbidden => "A policy forbids it".into(),
            Code::NotPermitted => "No policy permits it".into(),
            Code::ArgumentType => match self.errors.first() {
                Some(error) => {
                    format!("An argument does not have the type that policies expect: {error}")
                }
                None => "An argument does not have the type that policies expect".into(),
            },
            Code::KeyScope => "The key does not allow it".into(),
            Code::PolicyError => "A policy could not be evaluated".into(),
            Code::Depends => "It depends on the arguments".into(),
        }
    }
}

impl PolicySet {
    /// Decides. What is not permitted is denied, a policy that forbids comes before all that permit,
    /// and what cannot be evaluated is denied. A URI is judged in every form that a server may read it in.
    pub fn decide(&self, request: &Request) -> Decision {
        let decision = self.decide_as_written(request);
        if request.target.kind != TargetKind::Resource || !decision.is_possible() {
            return decision;
        }
        let Some(Readings { others, is_hidden }) = uri::readings(&request.target.name) else {
            return decision;
        };
        let mut otherwise = request.clone();
        for other in others {
            otherwise.target.name = other;
            let judged = self.decide_as_written(&otherwise);
            if !judged.is_possible() && (is_hidden || judged.code != Code::NotPermitted) {
                return judged;
            }
        }
        decision
    }

    fn decide_as_written(&self, request: &Request) -> Decision {
        let slice = self.slices.find(request.action, &request.target);
        let given = match &request.context.arguments {
            Arguments::Any if !slice.arguments.is_empty() => {
                Ok(RestrictedExpression::new_unknown("arguments"))
            }
            // No policy that bears on this looks at an argument.
            Arguments::Any => arguments::values(&slice.arguments, &serde_json::Map::new()),
            Arguments::Known(known) => arguments::values(&slice.arguments, known),
        };
        let given = match given {
            Ok(given) => given,
            Err(Mismatch { path, expected }) => {
                let why = format!("'{path}' must be {expected}");
                return Decision::without_policies(Code::ArgumentType, why);
            }
        };
        let context = context(&request.context, given, &slice.looks);
        let parts = self.known.entities(request).zip(context);
        let Some((made, context)) = parts else {
            return Decision::without_policies(
                Code::PolicyError,
                "no request could be made".into(),
            );
        };
        let question = Question::new(
            principal_uid(&request.principal),
            action_uid(request.action),
            target_uid(&request.target),
            context,
            None,
        );
        let Ok(question) = question else {
            return Decision::without_policies(
                Code::PolicyError,
                "no request could be made".into(),
            );
        };
        let authorizer = Authorizer::new();
        if request.context.arguments == Arguments::Any && !slice.arguments.is_empty() {
            let response =
                authorizer.is_authorized_partial(&question, &slice.policies, &made.entities);
            let errored: Vec<_> = response.definitely_errored().cloned().collect();
            let decided = response.decision();
            let policies: Vec<_> =
                response.must_be_determining().map(|policy| policy.id().clone()).collect();
            return Self::decided(&slice, decided, &policies, &errored, Vec::new());
        }
        let response = authorizer.is_authorized(&question, &slice.policies, &made.entities);
        let policies: Vec<_> = response.diagnostics().reason().cloned().collect();
        let mut errored = Vec::new();
        let mut errors = Vec::new();
        for error in response.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            errored.push(error.policy_id().clone());
            errors.push(error.to_string());
        }
        Self::decided(&slice, Some(response.decision()), &policies, &errored, errors)
    }

    fn decided(
        slice: &Slice,
        decision: Option<Cedar>,
        policies: &[PolicyId],
        errored: &[PolicyId],
        errors: Vec<String>,
    ) -> Decision {
        // Cedar passes over a policy that fails; one that might have forbidden must not be.
        if decision != Some(Cedar::Deny) && errored.iter().any(|id| slice.forbids(id)) {
            let policies = slice.told(errored.iter());
            return Decision { verdict: Verdict::Deny, code: Code::PolicyError, policies, errors };
        }
        let policies = slice.told(policies.iter());
        let (verdict, code) = match decision {
            None => (Verdict::Depends, Code::Depends),
            Some(Cedar::Allow) => (Verdict::Allow, Code::Permitted),
            Some(Cedar::Deny) if policies.is_empty() => (Verdict::Deny, Code::NotPermitted),
            Some(Cedar::Deny) => (Verdict::Deny, Code::Forbidden),
        };
        Decision { verdict, code, policies, errors }
    }
}
